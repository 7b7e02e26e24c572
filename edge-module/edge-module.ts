/**
 * The module's shell: what the intake has taken is folded at once, alerts leave at once, and readings leave when they fill
 * a message or have waited long enough. While the gateway takes nothing, nothing is folded: the journal is the queue.
 */
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { errorText } from '../contract/error-text.ts'
import type { Acknowledgement } from '../contract/acknowledgement.ts'
import { encodeEdgeAlerts, edgeAlertsContentType } from '../contract/edge-alerts.ts'
import type { EdgeAlertEvent } from '../contract/edge-alerts.ts'
import { previewProperty, rejectedAtEdge } from '../contract/telemetry/decode.ts'
import type { TelemetryMessage } from '../contract/telemetry/decode.ts'
import { encodePackedBatch, packedBatchContentType } from '../contract/telemetry/packed-batch.ts'
import type { Compression } from '../contract/telemetry/telemetry.ts'
import { applyDesired, defaultConfiguration, groupOf } from './configuration.ts'
import type { Configuration } from './configuration.ts'
import { decodeEdgeState, encodeEdgeState, newEdgeState } from './edge-devices.ts'
import type { EdgeState } from './edge-devices.ts'
import { EdgeCore } from './edge-core.ts'
import { MessageFiller } from './fill-messages.ts'
import type { Intake, TakenMessage } from './intake.ts'
import type { Log } from './log.ts'
import type { Outbox } from './outbox.ts'
import { SafetyRules } from './safety.ts'
import type { SafetyAction } from './safety.ts'
import type { EdgeModuleSettings } from './settings.ts'
import { readSnapshot, UnreadableSnapshotError, writeSnapshot } from './snapshot-file.ts'
import type { Snapshot } from './snapshot-file.ts'

/** Names of the module's outputs; routes of the deployment refer to them. */
export type Output = 'alerts' | 'readings' | 'preview' | 'rejected' | 'safety'

const limits = {
  /** Messages that wait for the gateway before folding stops; a batch may be parted into half of them. */
  waitingBatches: 32,
  /** Messages folded before the event loop has its turn. */
  foldedAtOnce: 200,
  eventsPerMessage: 50,
  /** A safety call is for the moment: what is found older, after a restart, is told but not done. */
  safetyAgeMs: 10_000,
  previewBehindMs: 1_000,
  snapshotEveryMs: 300_000,
  snapshotBytesMin: 1_048_576,
} as const

export type EdgeModuleOptions = {
  readonly settings: EdgeModuleSettings
  /** Names the readings of devices that stamp nothing, should the module have no state yet. */
  readonly newBoot: string
  readonly intake: Intake
  readonly outbox: Outbox<Output>
  readonly compression: Compression
  readonly callDevice: (deviceId: string, call: NonNullable<SafetyAction['call']>) => Promise<void>
  readonly nowMs: () => number
  readonly log: Log
}

export type Diagnostics = ReturnType<EdgeModule['diagnostics']>

export class EdgeModule {
  readonly #options: EdgeModuleOptions
  readonly #core: EdgeCore
  readonly #filler: MessageFiller
  readonly #safety = new SafetyRules()
  readonly #snapshotPath: string
  readonly #startedMs: number
  #configuration: Configuration
  /** Journal position behind the last message folded. */
  #folded: number
  #isBehind = true
  #isCatchingUp = false
  #isStopped = false
  #cutTimer: NodeJS.Timeout | undefined
  #previewTimer: NodeJS.Timeout | undefined
  #snapshot: { position: number; bytes: number; atMs: number }
  #wantsSnapshot = false
  /** Of the snapshot on disk. */
  #keptPosition = -1
  /** The newest message of each device while the module is behind. */
  readonly #newest = new Map<string, TelemetryMessage>()
  #lastArrivalMs = 0

  constructor(options: EdgeModuleOptions) {
    const { settings, intake, log, newBoot, compression, nowMs } = options
    this.#options = options
    this.#startedMs = nowMs()
    this.#snapshotPath = join(settings.MODULE_DATA, 'snapshot.bin')
    const found = snapshotAt(this.#snapshotPath, log)
    const restored = found && restore(found, intake, log)
    this.#core = new EdgeCore(restored?.state ?? newEdgeState(newBoot), compression)
    this.#safety.restore(this.#core.state)
    this.#configuration = found?.configuration ?? defaultConfiguration
    this.#core.configure(this.#configuration)
    this.#filler = new MessageFiller(compression)
    this.#folded = restored?.position ?? intake.start
    this.#snapshot = { position: this.#folded, bytes: found?.state.length ?? 0, atMs: nowMs() }
    this.#schedulePreview()
  }

  /** Folds what the journal held at the start, and whatever comes meanwhile. */
  start(): void {
    void this.#catchUp()
  }

  /** From the intake: the message has its place in the journal. */
  taken({ message, position }: TakenMessage): void {
    this.#lastArrivalMs = message.arrivedMs
    if (this.#isBehind) {
      if (message.deviceId !== undefined) this.#newest.set(message.deviceId, message)
      void this.#catchUp()
      return
    }
    this.#fold(message, position)
    if (this.#options.outbox.waiting('readings') >= limits.waitingBatches) this.#isBehind = true
  }

  /** Folds from the journal until nothing is left there: after a start, and whenever the gateway has not kept up. */
  async #catchUp(): Promise<void> {
    if (this.#isCatchingUp) return
    this.#isCatchingUp = true
    const { intake, outbox } = this.#options
    let entries = intake.read(this.#folded)
    for (let count = 1; !this.#isStopped && this.#isBehind; count++) {
      const { value: entry, done } = entries.next()
      if (entry) {
        this.#fold(entry.message, entry.position)
        if (count % limits.foldedAtOnce === 0) await nextTurn()
        while (!this.#isStopped && outbox.waiting('readings') >= limits.waitingBatches) await outbox.progress()
      } else if (done) {
        if (this.#folded >= intake.end) this.#isBehind = false
        // What is not on disk yet cannot be read back; it is there in a moment.
        else if (this.#folded >= intake.committed) await intake.progress()
        entries = intake.read(this.#folded)
      }
    }
    this.#newest.clear()
    this.#isCatchingUp = false
  }

  #fold(message: TelemetryMessage, position: number): void {
    const { settings, nowMs, log, outbox } = this.#options
    this.#folded = position
    if (nowMs() - message.arrivedMs > settings.READINGS_AGE_MAX_MS) this.#core.expire(message)
    else {
      const { alerts, rejected } = this.#core.add(message)
      if (alerts.length > 0) this.#raise(alerts)
      if (rejected) {
        log('warn', 'rejected', { device: rejected.deviceId, reason: rejected.reason, detail: rejected.detail })
        const properties = { [rejectedAtEdge.device]: rejected.deviceId, [rejectedAtEdge.reason]: rejected.reason }
        outbox.put('rejected', { body: rejected.body, contentType: rejected.contentType ?? 'application/octet-stream', properties })
      }
    }
    const { batch } = this.#core
    if (this.#filler.isFull(batch.roughBytes)) this.cut()
    else if (!batch.isEmpty) this.#cutTimer ??= setTimeout(() => this.cut(), this.#configuration.batchMaxDelayMs)
  }

  /** Alerts wait for nothing: neither for the journal's commit nor for the batch. */
  #raise(alerts: readonly EdgeAlertEvent[]): void {
    const { outbox, log, nowMs, callDevice } = this.#options
    for (let start = 0; start < alerts.length; start += limits.eventsPerMessage)
      outbox.put('alerts', {
        body: encodeEdgeAlerts(alerts.slice(start, start + limits.eventsPerMessage)),
        contentType: edgeAlertsContentType,
      })
    for (const alert of alerts) {
      const { event, deviceId, signal } = alert
      const readingMs = event.kind === 'raised' ? event.evidence.window.timesMs.at(-1) : undefined
      log('info', `alert-${event.kind}`, { device: deviceId, signal, alertId: event.alertId, readingMs })
      const action = this.#safety.actionOn(alert, this.#core.state.devices.get(alert.deviceId)?.modelId ?? '')
      if (!action) continue
      outbox.put('safety', { body: Buffer.from(JSON.stringify(action.notice)), contentType: 'application/json' })
      if (!action.call || nowMs() - alert.event.atMs > limits.safetyAgeMs) continue
      const { method } = action.call
      callDevice(alert.deviceId, action.call).then(
        () => log('info', 'safety-call', { device: alert.deviceId, method }),
        (error: unknown) => log('error', 'safety-call-failed', { device: alert.deviceId, method, error: errorText(error) }),
      )
    }
  }

  /** Ends the batch and hands it to the outbox. */
  cut(): void {
    clearTimeout(this.#cutTimer)
    this.#cutTimer = undefined
    const { outbox, nowMs } = this.#options
    const { roughBytes, isEmpty } = this.#core.batch
    const position = this.#folded
    const bodies = isEmpty ? [] : this.#filler.encode(this.#core.cut(nowMs()), roughBytes)
    const snapshot = this.#isSnapshotDue(position) ? this.#takeSnapshot(position) : undefined
    const onSent = snapshot && (() => void this.#keepSnapshot(snapshot))
    if (bodies.length === 0) return onSent?.()
    for (const [index, body] of bodies.entries())
      outbox.put('readings', { body, contentType: packedBatchContentType }, index === bodies.length - 1 ? onSent : undefined)
  }

  /** Not oftener than what it costs to write is little beside the journal itself. */
  #isSnapshotDue(position: number): boolean {
    const { position: last, bytes, atMs } = this.#snapshot
    if (position <= last) return false
    const journalBytes = position - last
    return (
      this.#wantsSnapshot ||
      this.#options.intake.isFull ||
      journalBytes > Math.max(limits.snapshotBytesMin, 2 * bytes) ||
      this.#options.nowMs() - atMs > limits.snapshotEveryMs
    )
  }

  #takeSnapshot(position: number): Snapshot {
    this.#wantsSnapshot = false
    const state = encodeEdgeState(this.#core.state)
    this.#snapshot = { position, bytes: state.length, atMs: this.#options.nowMs() }
    return { position, configuration: this.#configuration, state }
  }

  /** Written only when the gateway has everything that followed from the messages before it. */
  async #keepSnapshot(snapshot: Snapshot): Promise<void> {
    const { intake, outbox, log } = this.#options
    try {
      while (!this.#isStopped && intake.committed < snapshot.position) await intake.progress()
      for (const output of ['alerts', 'rejected', 'safety'] as const)
        while (!this.#isStopped && outbox.waiting(output) > 0) await outbox.progress()
      // The journal is dropped up to the newest: an older one would have nothing to go on from.
      if (this.#isStopped || snapshot.position <= this.#keptPosition) return
      this.#keptPosition = snapshot.position
      writeSnapshot(this.#snapshotPath, snapshot)
      intake.release(snapshot.position)
    } catch (error) {
      // The journal keeps everything since the last one; the next cut tries again.
      this.#wantsSnapshot = true
      log('error', 'snapshot-failed', { error: errorText(error) })
    }
  }

  /** The intake has no room, or another reason to want some back. */
  relieve(): void {
    this.#wantsSnapshot = true
    this.cut()
  }

  #schedulePreview(): void {
    if (this.#isStopped) return
    const delayMs = this.#isBehind && this.#lastArrivalMs > 0 ? limits.previewBehindMs : this.#configuration.previewEveryMs
    this.#previewTimer = setTimeout(() => {
      this.#sendPreview()
      this.#schedulePreview()
    }, delayMs)
    this.#previewTimer.unref()
  }

  #sendPreview(): void {
    const { outbox, nowMs, compression } = this.#options
    // A newer one says all that an older one could.
    if (outbox.waiting('preview') > 0) return
    const batch = this.#core.preview(nowMs(), [...this.#newest.values()])
    if (batch.blocks.length === 0) return
    outbox.put('preview', {
      body: encodePackedBatch(batch, compression),
      contentType: packedBatchContentType,
      properties: { [previewProperty]: '1' },
    })
  }

  /** Applies desired properties; readings taken before are filtered as before. */
  configure(desired: Readonly<Record<string, unknown>>): Record<string, Acknowledgement> {
    const { configuration, acknowledgements } = applyDesired(this.#configuration, desired)
    const isNew = JSON.stringify(configuration) !== JSON.stringify(this.#configuration)
    if (isNew) {
      // What was folded before must be folded the same way after a crash.
      this.cut()
      this.#configuration = configuration
      this.#core.configure(configuration)
      this.#wantsSnapshot = true
      clearTimeout(this.#previewTimer)
      this.#schedulePreview()
    }
    for (const [property, { ac, ad }] of Object.entries(acknowledgements))
      if (ac === 400) this.#options.log('warn', 'configuration-refused', { property, reason: ad })
    if (isNew) this.#options.log('info', 'configured', { ...configuration })
    return acknowledgements
  }

  /** Sends what is waiting now. @returns how many messages it took */
  async flush(): Promise<{ messages: number }> {
    const { outbox } = this.#options
    const before = outbox.messages
    this.cut()
    await outbox.drained()
    return { messages: outbox.messages - before }
  }

  diagnostics() {
    const { intake, outbox, nowMs, settings } = this.#options
    const { state, readingsTaken, troubles } = this.#core
    const groups: Record<string, { version: string; devices: number }> = {}
    for (const { deviceId, modelId } of state.devices.values()) {
      const found = groupOf(this.#configuration, deviceId, modelId)
      if (found) (groups[found.name] ??= { version: found.group.version, devices: 0 }).devices++
    }
    const now = nowMs()
    return {
      uptimeS: Math.round((now - this.#startedMs) / 1000),
      devices: state.devices.size,
      readingsTaken,
      messagesSent: outbox.messages,
      bytesSent: outbox.bytes,
      waiting: { alerts: outbox.waiting('alerts'), readings: outbox.waiting('readings') },
      journal: {
        bytes: intake.bytes,
        bytesMax: settings.JOURNAL_BYTES_MAX,
        isFull: intake.isFull,
        unfoldedBytes: intake.end - this.#folded,
      },
      groups,
      troubles: troubles.since(now - 3_600_000).map(({ deviceId, reason, count, lastMs }) => ({ deviceId, reason, count, lastMs })),
      memoryBytes: process.memoryUsage().rss,
    }
  }

  async stop(): Promise<void> {
    this.cut()
    this.#isStopped = true
    clearTimeout(this.#previewTimer)
    await this.#options.intake.close()
  }
}

/** A gateway in a field cannot wait for a person: without a snapshot it folds what its journal holds, and learns anew. */
function snapshotAt(path: string, log: Log): Snapshot | undefined {
  try {
    return readSnapshot(path)
  } catch (error) {
    if (!(error instanceof UnreadableSnapshotError)) throw error
    log('error', 'snapshot-not-read', { error: error.message })
    return undefined
  }
}

/** The state of a snapshot, or nothing of it where this program cannot go on from it. */
function restore({ position, state }: Snapshot, intake: Intake, log: Log): { state: EdgeState; position: number } | undefined {
  if (position > intake.committed) {
    log('warn', 'journal-lost', { snapshot: position, journal: intake.committed })
    return undefined
  }
  try {
    return { state: decodeEdgeState(state), position }
  } catch (error) {
    log('warn', 'state-not-read', { error: errorText(error) })
    return undefined
  }
}
