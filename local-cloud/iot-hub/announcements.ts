/** What the hub says of its own to routes that want to know: twins change, devices are made, come and go. */
import { notification } from './hub-message.ts'
import type { MessageSink } from './hub-message.ts'
import type { JsonObject } from './json-merge-patch.ts'
import type { StoredIdentity } from './registry.ts'
import { sectionView } from './twin.ts'

export type AnnouncementOptions = {
  readonly hubName: string
  readonly sink: MessageSink
  /** True when some route wants to hear of it. */
  readonly isNotified: () => boolean
  readonly nowMs: () => number
  readonly failed: (error: unknown) => void
}

type About = { readonly deviceId: string; readonly moduleId?: string | undefined }

export class Announcements {
  readonly #options: AnnouncementOptions

  constructor(options: AnnouncementOptions) {
    this.#options = options
  }

  /** An identity was created or deleted. */
  life(identity: StoredIdentity, opType: string): void {
    const { deviceId, moduleId, etag, twin } = identity
    this.#say('deviceLifecycleEvents', identity, () => ({
      schema: moduleId === undefined ? 'deviceLifecycleNotification' : 'moduleLifecycleNotification',
      opType,
      body: {
        deviceId,
        ...(moduleId === undefined ? {} : { moduleId }),
        etag,
        version: twin.version,
        tags: twin.tags,
        properties: { desired: sectionView(twin.desired, { metadata: true }), reported: sectionView(twin.reported, { metadata: true }) },
      },
    }))
  }

  twin(identity: StoredIdentity, change: JsonObject): void {
    this.#say('twinChangeEvents', identity, () => ({
      schema: 'twinChangeNotification',
      opType: 'updateTwin',
      body: { version: identity.twin.version, ...change },
    }))
  }

  connection(about: About, opType: 'deviceConnected' | 'deviceDisconnected'): void {
    this.#say('deviceConnectionStateEvents', about, (nowMs) => ({
      schema: 'deviceConnectionStateNotification',
      opType,
      body: { sequenceNumber: nowMs.toString(16).padStart(32, '0') },
    }))
  }

  #say(source: Parameters<typeof notification>[0], about: About, contentAt: (nowMs: number) => Parameters<typeof notification>[2]): void {
    const { hubName, sink, isNotified, nowMs, failed } = this.#options
    if (!isNotified()) return
    const atMs = nowMs()
    sink(notification(source, { ...about, hubName, nowMs: atMs }, contentAt(atMs))).catch(failed)
  }
}
