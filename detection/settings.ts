/**
 * The one configuration of all detectors, for every series of every device. Lengths are in readings where the number of
 * readings decides (noise), in time where the clock does (days). Found on the files and faults that `docs/DETECTION.md` names.
 */

/** Changes whenever the same readings may get another verdict. */
export const detectorVersion = 15

export const dayMs = 86_400_000
const hourMs = 3_600_000

export const settings = {
  /** A difference of event times this long is a gap: nothing is concluded across it, and so much disorder is none. */
  gapMs: 300_000,
  /** A gap is also so many times the usual interval. */
  gapIntervals: 10,
  /**
   * After so many the averages and the rolling window hold nothing that is recent: three times the memory of the high-pass. Of a
   * series that is read often it is a gap however short, if none came while the slow average was made.
   */
  longGapIntervals: 60,
  /** By so much of what was seen before it a gap that is longer makes a series older: nothing was seen meanwhile. */
  gapAgeShare: 0.1,
  /** Between readings further apart, or by so many usual intervals, anything may have happened: their difference is no jump. */
  jumpMsMax: 600_000,
  jumpIntervals: 5,
  /** Weights of the exponential averages: the last ten, twenty, two hundred readings. */
  fastWeight: 0.1,
  highPassWeight: 0.05,
  slowWeight: 0.005,
  /** Readings before anything but limits is judged. */
  learningReadings: 23,
  noveltyReadings: 100,
  /**
   * The margin is doubled when the past is this old, and wider still before: of levels and seasons a day must be seen, of
   * changes so many readings, and so many times what they reach back.
   */
  levelMaturityMs: dayMs,
  changeMaturity: { readings: 400, msMin: 400_000, msMax: hourMs },
  maturityReaches: 40,
  /** Part of the margin where the most extreme blocks of a past agree, and what of it comes back for each range that they do not. */
  evenMarginShare: 0.6,
  tailMargin: 3,
  /** Of a wave that takes minutes, two blocks may hold no more than its crest. */
  highPassAfterMs: 240_000,
  /** An average of two hundred readings has hardly moved in less: two blocks of it are no past yet. */
  stepAfter: { readings: 600, msMin: 600_000, msMax: hourMs },
  /** What is seen joins the past after this long, so that a slow change is compared with what was before it. */
  blockMs: 900_000,
  /** While a series is young, after this part of its age, and not less than a minute: it is soon known what it does. */
  blockAgeShare: 1 / 6,
  blockMsMin: 60_000,
  /** The same of levels: what creeps for half a day is compared with what was before it. */
  levelBlockMs: 6 * hourMs,
  levelBlockAgeShare: 1 / 12,
  /** A block in which something unusual goes on lasts until it is over, up to so many times as long. */
  eventBlocks: 4,
  /** A past is forgotten after one to two epochs. */
  epochMs: 7 * dayMs,
  epochReadings: 4_000,
  /** A range narrower than this part of the level is noise. */
  levelRangeMin: 0.01,
  /** Robust standard deviations count only beyond so many times the most the series makes by itself. */
  rollingPast: 4,
  /** What comes in whole steps is unusual beyond so many of the smallest. */
  rollingSteps: 3,
  /** Deviations below this are not worth their exact number. */
  rollingQuiet: 3,
  /** Grows steeply: half-way to the threshold is nothing. */
  rollingPower: 6,
  /** Abnormal readings, and time, until a level is adopted as normal. */
  adoptReadings: 1_800,
  /** Equal readings until a series is stuck: at least, and times its own longest run. */
  stuckReadings: 30,
  stuckRuns: 4,
  /** A series that repeats more of its readings than this mostly stands still. */
  stuckRepeats: 0.5,
  /** Signals that jump by nature also rest by nature: so many times longer. */
  stuckJumpy: 5,
  /** Readings that are not at the value it rests at, and changes among them, before its runs there are known. */
  elsewhereReadings: 200,
  elsewhereChanges: 50,
  /** Jumped over so often, a part of the range that was not stayed in lies between modes. */
  modeCrossings: 20,
  /** How far into such a gap, in its widths, an alert begins. */
  modeGapShare: 0.08,
  /** A run that chance makes once in so many is no chance. */
  stuckChance: 1e-10,
  stuckAfterReadings: 200,
  /** The average whose drift is watched, and how long the machine is new. */
  driftTauMs: 24 * hourMs,
  commissioningMs: 7 * dayMs,
  driftMarginRanges: 0.25,
  /** Once it is told, it goes on while the average is outside by this part of the margin. */
  driftHysteresis: 0.5,
  /** While the average is in this outer part of all that was seen, and still on its way outwards, the series has no level that it could leave. */
  driftEdge: 0.2,
  /** A signal is missing after this long, so many of its intervals, and so many of the longest pauses it makes by itself. */
  missingMs: 30_000,
  missingIntervals: 20,
  missingGaps: 3,
  /** A change that ends within this part of it from where the series usually is at this time is one of every day. */
  dailyShare: 0.2,
  /** Weight of the time-of-day profile: at most a tenth a reading, and a reading's share of this time. */
  seasonWeight: 0.1,
  seasonMs: 3_000_000,
} as const

export const recoverySettings = {
  /** What has not come back in so much time has changed. */
  knownForMs: 14 * dayMs,
  /** Ordinary readings in a row before they are learned: among what is wrong there is one now and then. */
  calmReadings: 100,
  /** What has come back so often, in so much time, or at the same time of another week, is a habit when it begins again. */
  returnsMax: 4,
  habitMs: 8 * 7 * dayMs,
  weekMs: 7 * dayMs,
  sameTimeMs: 1.5 * hourMs,
} as const

export const relationSettings = {
  signalsMax: 10,
  /** Moments before the covariance is begun, and before it judges; of a machine with modes it takes a day, too. */
  scaleReadings: 60,
  learningReadings: 900,
  modesMs: dayMs,
  /** Moments that the covariance remembers: at least, and in so much time. */
  memoryReadings: 20_000,
  memoryMs: 14 * dayMs,
  smoothWeight: 0.1,
  /** Times the signal's own past of its conditional standard deviations. */
  past: 1.5,
  /** The thresholds are doubled after so many moments, and this time; what a machine has not done yet becomes rare slowly. */
  maturityReadings: 400,
  maturityMs: 1_600_000,
  /** How much an unusual state of the other signals widens what is expected of one. */
  leverage: 100,
  /** A floor of noise, in resolutions. */
  floor: 0.3,
  /** Moments until the past takes over what was seen: at least, in so much time, and while it is young of all moments so far. */
  blockReadings: 100,
  blockMs: dayMs,
  blockAgeShare: 1 / 24,
  /** Unusual moments until they are learned all the same. */
  adoptReadings: 1_800,
} as const

export const episodeSettings = {
  /** Something is worse than what was told when it is so many times as severe. */
  worseBy: 2,
  /** Within this part of a change from where the signal was before an incident, it is back there. */
  backShare: 0.2,
  /** As severe as can be told. */
  tellMost: 2,
  /** Between this and 1 a reading is doubtful: it ends no episode and begins none. */
  normalBelow: 0.5,
  /** An episode that the edge found ends when the edge says so; after this many normal readings without a word, anyway. */
  offReadingsUnlessTold: 240,
  endedEdgeAlertsMax: 32,
  /** A signal counts as moving along from this severity on, seen within this time. */
  movingSeverity: 0.1,
  movingWithinMs: 60_000,
  /** Of a device whose signals all move, those that move most are named. */
  movingMax: 12,
} as const
