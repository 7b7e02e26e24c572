/** After an episode only something worse is told for a while: of its signal, of the signals that moved along, and of all together. */
import type { Finding } from './episode.ts'
import { episodeSettings as settings } from './settings.ts'

/** What is left of the last episode: plain data. */
export type Cooldown = {
  readings: number
  /** Of the episode, or of what moved along with one. */
  severity: number
  suppressed: number
  /** What moved along was never told, and comes back at its own pace: while it fades, there is nothing to tell. */
  isPatient: boolean
  /** The most severe that was suppressed since the readings were counted. */
  worst: number
}

export function newCooldown(): Cooldown {
  return { readings: 0, severity: 0, suppressed: 0, isPatient: false, worst: 0 }
}

export function beginCooldown(cooldown: Cooldown, severity: number, readings: number, isPatient: boolean): void {
  cooldown.readings = readings
  cooldown.severity = severity
  cooldown.isPatient = isPatient
  cooldown.worst = 0
}

export function isCoolingDown(cooldown: Cooldown, { severity, limit }: Pick<Finding, 'severity' | 'limit'>): boolean {
  return !limit && cooldown.readings > 0 && severity <= settings.worseBy * cooldown.severity
}

/**
 * Takes an onset that is not told. What comes back and stays is told when the time is over.
 * @param again readings of another such time, for what fades
 */
export function suppress(cooldown: Cooldown, severity: number, readings: number, again: number): void {
  cooldown.suppressed++
  cooldown.readings -= readings
  cooldown.worst = Math.max(cooldown.worst, severity)
  const fades = cooldown.isPatient && cooldown.worst < cooldown.severity
  if (cooldown.readings <= 0 && fades) beginCooldown(cooldown, cooldown.worst, again, true)
}
