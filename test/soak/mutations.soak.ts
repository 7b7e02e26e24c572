/** The tests notice when something that matters is taken away: each change below must make the tests named beside it fail. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root } from '../support/product.ts'

const copy = mkdtempSync(join(tmpdir(), 'mutations-'))
const left = ['node_modules', '.git', 'dist', '.millwright']

beforeAll(() => {
  cpSync(root, copy, { recursive: true, filter: (path) => !left.some((name) => path === join(root, name)) })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
})
afterAll(() => rmSync(copy, { recursive: true, force: true }))

type Mutation = { readonly what: string; readonly file: string; readonly from: string; readonly to: string; readonly tests: string }

const mutations: readonly Mutation[] = [
  {
    what: 'the rolling detector is weakened',
    file: 'detection/configuration.ts',
    from: 'rollingScore: number(10)',
    to: 'rollingScore: number(60)',
    tests: 'test/detection/device-watch.test.ts',
  },
  {
    what: 'a step of what comes in whole steps counts',
    file: 'detection/settings.ts',
    from: 'rollingSteps: 3',
    to: 'rollingSteps: 0',
    tests: 'test/detection/whole-steps.test.ts',
  },
  {
    what: 'a little worse is told again',
    file: 'detection/settings.ts',
    from: 'worseBy: 2',
    to: 'worseBy: 1',
    tests: 'test/detection/device-watch.test.ts',
  },
  {
    what: 'a shift that begins every day is news every day',
    file: 'detection/settings.ts',
    from: 'dailyShare: 0.2',
    to: 'dailyShare: 0',
    tests: 'test/detection/usual.test.ts',
  },
  {
    what: 'what switches on and off is news for an hour',
    file: 'detection/settings.ts',
    from: 'blockMsMin: 60_000',
    to: 'blockMsMin: 900_000',
    tests: 'test/detection/usual.test.ts',
  },
  {
    what: 'a level that stays is told as often as it is severe',
    file: 'detection/settings.ts',
    from: 'tellMost: 2',
    to: 'tellMost: 1e9',
    tests: 'test/detection/usual.test.ts',
  },
  {
    what: 'whole degrees that stand still are stuck',
    file: 'detection/settings.ts',
    from: 'stuckRepeats: 0.5',
    to: 'stuckRepeats: 1',
    tests: 'test/detection/usual.test.ts',
  },
  {
    what: 'a counter drifts',
    file: 'detection/settings.ts',
    from: 'driftEdge: 0.2',
    to: 'driftEdge: 0',
    tests: 'test/detection/usual.test.ts',
  },
  {
    what: 'the relation of signals is not discounted far from the usual',
    file: 'detection/settings.ts',
    from: 'leverage: 100',
    to: 'leverage: 0',
    tests: 'test/detection/relation.test.ts',
  },
  {
    what: 'rounding makes the two halves of the covariance differ',
    file: 'detection/relation.ts',
    from: 'for (let j = 0; j <= i; j++) state[row + j] = state[matrix + j * signals + i] = (',
    to: 'for (let j = 0; j < signals; j++) state[row + j] = (',
    tests: 'test/detection/relation.test.ts',
  },
  {
    what: 'how signals move together is forgotten within hours',
    file: 'detection/settings.ts',
    from: 'memoryMs: 14 * dayMs',
    to: 'memoryMs: 0',
    tests: 'test/detection/wear.test.ts',
  },
  {
    what: 'what signals say together joins the past within minutes',
    file: 'detection/settings.ts',
    from: 'blockMs: dayMs',
    to: 'blockMs: 0',
    tests: 'test/detection/wear.test.ts',
  },
  {
    what: 'a level that creeps is ordinary within half an hour',
    file: 'detection/settings.ts',
    from: 'levelBlockMs: 6 * hourMs',
    to: 'levelBlockMs: 0',
    tests: 'test/detection/wear.test.ts',
  },
  {
    what: 'what is noisy from now on is news for hours',
    file: 'detection/learn-series.ts',
    from: ' && !isWider(past, statistic.highPass)',
    to: '',
    tests: 'test/detection/wear.test.ts',
  },
  {
    what: 'an ordinary reading among unusual ones is learned',
    file: 'detection/settings.ts',
    from: 'calmReadings: 100',
    to: 'calmReadings: 0',
    tests: 'test/detection/recovery.test.ts',
  },
  {
    what: 'how long a series stands still on its first day is doubted',
    file: 'detection/runs.ts',
    from: 'isMostlyStill(numbers) || isYoung',
    to: 'isMostlyStill(numbers)',
    tests: 'test/detection/usual.test.ts',
  },
  {
    what: 'signals are compared after hours only',
    file: 'detection/settings.ts',
    from: 'maturityMs: 1_600_000',
    to: 'maturityMs: 16_000_000',
    tests: 'test/detection/relation.test.ts',
  },
  {
    what: 'changes are known after an hour only',
    file: 'detection/settings.ts',
    from: 'changeMaturity: { readings: 400, msMin: 400_000,',
    to: 'changeMaturity: { readings: 400, msMin: hourMs,',
    tests: 'test/detection/young-series.test.ts',
  },
  {
    what: 'a change by one step is news',
    file: 'detection/judge-series.ts',
    from: 'Math.max(noise, 2 * step)',
    to: 'Math.max(noise, step)',
    tests: 'test/detection/young-series.test.ts',
  },
  {
    what: 'the crest of a wave is all that is known of it',
    file: 'detection/settings.ts',
    from: 'highPassAfterMs: 240_000',
    to: 'highPassAfterMs: 0',
    tests: 'test/detection/young-series.test.ts',
  },
  {
    what: 'how signals moved together before a fault is not known again',
    file: 'detection/recovery.ts',
    from: 'restoreRelation(together.state, known.state)',
    to: 'void restoreRelation',
    tests: 'test/detection/recovery.test.ts',
  },
  {
    what: 'a level that stays joins the past when its block ends',
    file: 'detection/learn-series.ts',
    from: '  adoptBlock(past, statistic.level)',
    to: '  void adoptBlock',
    tests: 'test/detection/recovery.test.ts',
  },
  {
    what: 'what was known before an incident is not known again',
    file: 'detection/recovery.ts',
    from: '  past.set(before.past)',
    to: '',
    tests: 'test/detection/recovery.test.ts',
  },
  {
    what: 'what comes every week is a fault each time',
    file: 'detection/recovery.ts',
    from: 'recent.some((sinceMs) => isWeeksBefore(timeMs - sinceMs))',
    to: 'false',
    tests: 'test/detection/recovery.test.ts',
  },
  {
    what: 'what is usual is what has come back, however short it stayed',
    file: 'detection/recovery.ts',
    from: ' && timeMs - known.awayUntilMs >= known.awayUntilMs - known.sinceMs',
    to: '',
    tests: 'test/detection/recovery.test.ts',
  },
  {
    what: 'a run that was taken for normal is told again and again',
    file: 'detection/runs.ts',
    from: 'numbers[slot.stuckRun] = -Math.abs(numbers[slot.stuckRun]!)',
    to: '',
    tests: 'test/detection/recovery.test.ts',
  },
  {
    what: 'what is seen joins the past at once',
    file: 'detection/settings.ts',
    from: 'blockMs: 900_000',
    to: 'blockMs: 0',
    tests: 'test/detection/series.test.ts',
  },
  {
    what: 'no part of a range lies between modes',
    file: 'detection/settings.ts',
    from: 'modeCrossings: 20',
    to: 'modeCrossings: 300',
    tests: 'test/detection/modes.test.ts',
  },
  {
    what: 'what lies beyond a mode is measured by how far the series switches',
    file: 'detection/modes.ts',
    from: 'found.high - found.low >= Math.abs(at - outermost)',
    to: 'found.high - found.low >= 100 * Math.abs(at - outermost)',
    tests: 'test/detection/modes.test.ts',
  },
  {
    what: 'a series that rests at one value may rest anywhere',
    file: 'detection/runs.ts',
    from: 'numbers[slot.lastValue]! !== numbers[slot.restValue]! &&',
    to: 'Number.isNaN(numbers[slot.restValue]!) &&',
    tests: 'test/detection/modes.test.ts',
  },
  {
    what: 'a change that is taken straight back is none',
    file: 'detection/judge-series.ts',
    from: 'return before > 0 !== jump > 0 ?',
    to: 'return before > 0 === jump > 0 ?',
    tests: 'test/detection/modes.test.ts',
  },
  {
    what: 'a gateway takes for delivered what was only sent',
    file: 'local-cloud/edge-runtime/store-and-forward.ts',
    from: 'while (lane.underWay[0]?.isDone)',
    to: 'while (lane.underWay[0])',
    tests: 'test/local-cloud/store-and-forward.test.ts',
  },
  {
    what: 'releases of the agent are taken from anybody',
    file: 'device-sim/updates/release-folder.ts',
    from: "if (!verify(null, bytes, this.#publicKey, Buffer.from(signature, 'base64')))",
    to: "if (!verify(null, bytes, this.#publicKey, Buffer.from(signature, 'base64')) && version === '')",
    tests: 'test/contracts/agent-releases.test.ts',
  },
  {
    what: 'no cooldown',
    file: 'detection/cooldown.ts',
    from: 'return !limit && cooldown.readings > 0 && severity <= settings.worseBy * cooldown.severity',
    to: 'return !limit && cooldown.readings > 0 && severity <= settings.worseBy * cooldown.severity && false',
    tests: 'test/detection/device-watch.test.ts',
  },
  {
    what: 'the end of a fault is news',
    file: 'detection/aftermath.ts',
    from: "if (Math.abs(now) >= Math.abs(then)) return 'away'",
    to: "if (now === now) return 'away'",
    tests: 'test/detection/aftermath.test.ts',
  },
  {
    what: 'a fault stays in what readings are compared with',
    file: 'detection/aftermath.ts',
    from: "if (isBack || events.some(({ kind }) => kind === 'returned')) forgetRecent(state)",
    to: 'if (isBack && events.length > 9) forgetRecent(state)',
    tests: 'test/detection/aftermath.test.ts',
  },
  {
    what: 'a reading counts twice when the signals together find it unusual, too',
    file: 'detection/signal-episodes.ts',
    from: "if (finding.detector !== 'relation' || phase.normalReadings > 0) phase",
    to: 'phase',
    tests: 'test/detection/aftermath.test.ts',
  },
  {
    what: 'the signals together hide that one has passed its limit',
    file: 'detection/device-watch.ts',
    from: 'watch)), value)) return nothing',
    to: 'watch)), value) && timeMs < 0) return nothing',
    tests: 'test/detection/aftermath.test.ts',
  },
  {
    what: 'the fence between owners is dropped',
    file: 'cloud-functions/store/hot-path-store.ts',
    from: "['update', row, 'Merge', { etag: current }]",
    to: "['update', row, 'Merge']",
    tests: 'test/contracts/hot-path-store.test.ts',
  },
  {
    what: 'what was applied is applied again',
    file: 'cloud-functions/hot-path/fold.ts',
    from: 'if (isRecalled ? !isWholeNew : seq <= appliedBeforeSeq) continue',
    to: 'if (isRecalled && !isWholeNew) continue',
    tests: 'test/cloud-functions/hot-path.test.ts',
  },
  {
    what: 'messages of a log read twice are folded twice',
    file: 'cloud-functions/hot-path/fold.ts',
    from: '.filter((deviceId) => (partition.devices.get(deviceId)?.appliedSequence ?? -1) >= sequenceNumber),',
    to: '.filter((deviceId) => (partition.devices.get(deviceId)?.appliedSequence ?? -1) >= Infinity * sequenceNumber),',
    tests: 'test/cloud-functions/hot-path.test.ts',
  },
  {
    what: 'merged buckets forget how far their means are apart',
    file: 'cloud-functions/hot-path/bucket.ts',
    from: 'm2 += other.m2 + (deviation * deviation * count * other.count) / total',
    to: 'm2 += other.m2',
    tests: 'test/cloud-functions/rollup.test.ts',
  },
  {
    what: 'the log is not read again where a batch is missing',
    file: 'cloud-functions/hot-path/partition-owner.ts',
    from: 'if (afterSequence + 1 >= beforeSequence) return',
    to: 'if (afterSequence + 1 >= 0) return',
    tests: 'test/contracts/hot-path-store.test.ts',
  },
  {
    what: 'an hour is archived before all of it is applied',
    file: 'cloud-functions/store/archive.ts',
    from: 'Math.min(nowMs, appliedMs)',
    to: 'nowMs',
    tests: 'test/contracts/hot-path-store.test.ts',
  },
  {
    what: 'a backlog is taken for silence',
    file: 'cloud-functions/alerting/watch-silence.ts',
    from: 'Math.max(Math.min(nowMs, appliedUpToMs), nowMs - behindMsMax)',
    to: 'nowMs',
    tests: 'test/contracts/alert-desk.test.ts',
  },
  {
    what: 'a log counts from the beginning again where all records have gone',
    file: 'local-cloud/log/commit-log.ts',
    from: 'index.beginAt(ends.get(String(partition)) ?? 0)',
    to: 'index.beginAt(0)',
    tests: 'test/local-cloud/commit-log.test.ts',
  },
  {
    what: 'what was handed on and not written is passed over',
    file: 'local-cloud/edge-runtime/store-and-forward.ts',
    from: 'Math.min(stored.next, log.info(partition).endSequence)',
    to: 'stored.next',
    tests: 'test/local-cloud/store-and-forward.test.ts',
  },
  {
    what: 'what no batch follows is never applied',
    file: 'cloud-functions/hot-path/log-ends.ts',
    from: 'nowMs - Math.max(writtenMs, lastEnqueuedMs ?? 0) <= workedOnMsMax',
    to: 'nowMs > 0',
    tests: 'test/contracts/hot-path-store.test.ts',
  },
]

test.each(mutations)(
  'when $what, $tests fails',
  ({ file, from, to, tests }) => {
    const path = join(copy, file)
    const source = readFileSync(path, 'utf8')
    expect(source).toContain(from)
    writeFileSync(path, source.replace(from, to))
    try {
      const { status, stdout } = spawnSync(process.execPath, [join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', tests], {
        cwd: copy,
        encoding: 'utf8',
      })
      expect(status, stdout.slice(-2_000)).toBe(1)
      expect(stdout).toMatch(/Tests.*\d+ failed/)
    } finally {
      writeFileSync(path, source)
    }
  },
  180_000,
)
