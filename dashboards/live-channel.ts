/**
 * The live channel of the page: Azure Web PubSub, by its own client. It takes a lost connection up again without a gap;
 * when it cannot, whoever listens is told to ask, because something may have been missed.
 */
import { WebPubSubClient } from '@azure/web-pubsub-client'
import type { LiveMessage } from '../contract/api.ts'
import { useEffect, useState } from 'preact/hooks'

/** `off`: there is no live channel here, pages poll. */
export type ChannelState = 'connecting' | 'live' | 'lost' | 'off'

type Listener = { readonly onMessage: (message: LiveMessage) => void; readonly onGap: () => void }

const groupNames = ['alerts', 'devices'] as const
const listeners = new Set<Listener>()
const states = new EventTarget()
let state: ChannelState = 'connecting'
let isStarted = false

function become(next: ChannelState): void {
  if (state === next) return
  state = next
  states.dispatchEvent(new Event('change'))
}

async function accessUrl(): Promise<string | null> {
  const response = await fetch('/api/v1/live', { cache: 'no-store' })
  if (!response.ok) throw new Error(`the server answered ${response.status}`)
  return ((await response.json()) as { url: string | null }).url
}

const retryMs = 5_000

async function start(): Promise<void> {
  try {
    if ((await accessUrl()) === null) return become('off')
    const client = new WebPubSubClient(
      { getClientAccessUrl: async () => (await accessUrl()) ?? '' },
      { autoReconnect: true, autoRejoinGroups: true, reconnectRetryOptions: { maxRetries: 1_000_000, maxRetryDelayInMs: retryMs } },
    )
    client.on('connected', () => {
      become('live')
      // A new connection knows nothing of what happened before it.
      for (const { onGap } of listeners) onGap()
    })
    client.on('disconnected', () => become('lost'))
    client.on('stopped', () => become('lost'))
    client.on('group-message', ({ message }) => {
      become('live')
      for (const { onMessage } of listeners) onMessage(message.data as LiveMessage)
    })
    await client.start()
    for (const group of groupNames) await client.joinGroup(group)
  } catch {
    become('lost')
    setTimeout(() => void start(), retryMs)
  }
}

/** Listens until the returned function is called. */
export function listen(listener: Listener): () => void {
  listeners.add(listener)
  if (!isStarted) {
    isStarted = true
    void start()
  }
  return () => void listeners.delete(listener)
}

export function useChannelState(): ChannelState {
  const [shown, setShown] = useState(state)
  useEffect(() => {
    const onChange = () => setShown(state)
    states.addEventListener('change', onChange)
    onChange()
    return () => states.removeEventListener('change', onChange)
  }, [])
  return shown
}
