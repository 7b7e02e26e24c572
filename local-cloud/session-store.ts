/**
 * What the hub, or a gateway, remembers of clients that connect with CleanSession 0: what they listen for. Azure's SDKs count on
 * it: when they renew their token they connect again, and subscribe to nothing anew.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { DocumentStore } from './log/document-store.ts'
import { subscriptions } from './device-backend.ts'
import type { Subscription } from './device-backend.ts'

const StoredSession = z.object({ subscriptions: z.array(z.enum(subscriptions)) })

export class SessionStore {
  readonly #store: DocumentStore<z.infer<typeof StoredSession>>

  private constructor(store: DocumentStore<z.infer<typeof StoredSession>>) {
    this.#store = store
  }

  static async open(directory: string): Promise<SessionStore> {
    return new SessionStore(await DocumentStore.open(join(directory, 'sessions.ndjson'), (value) => StoredSession.parse(value)))
  }

  /** @returns what a kept session still listens for; undefined when there is none */
  opened(name: string, isClean: boolean): ReadonlySet<Subscription> | undefined {
    const kept = this.#store.get(name)
    // [MQTT-3.1.2-6] a clean session discards what was kept. Should the note be lost, the session is merely kept longer.
    if (isClean) {
      if (kept) void this.#store.delete(name).catch(() => {})
      return undefined
    }
    if (!kept) void this.#store.set(name, { subscriptions: [] }).catch(() => {})
    return kept && new Set(kept.subscriptions)
  }

  keep(name: string, wanted: Subscription[]): void {
    const kept = this.#store.get(name)
    if (kept && kept.subscriptions.length === wanted.length && wanted.every((one) => kept.subscriptions.includes(one))) return
    this.#store.set(name, { subscriptions: wanted }).catch(() => {})
  }

  forget(name: string): void {
    this.#store.delete(name).catch(() => {})
  }

  close(): Promise<void> {
    return this.#store.close()
  }
}
