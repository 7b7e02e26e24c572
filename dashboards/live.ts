/** Data that keeps itself fresh: polled with ETags, so that nothing new costs next to nothing. Says how old it is. */
import { useEffect, useState } from 'preact/hooks'
import { errorText } from '../contract/error-text.ts'
import { noteServerTime, serverNow } from './server-clock.ts'

export type Live<T> = {
  readonly data: T | undefined
  /** When the server last confirmed the data. */
  readonly confirmedMs: number
  /** When that answer was asked for, by `performance.now()`. */
  readonly askedAt: number
  readonly problem: string | undefined
}

const nothing = { data: undefined, confirmedMs: 0, askedAt: 0, problem: undefined }
const apiRoot = '/api/v1/'
const timeoutMs = 10_000
const retryMs = 3_000

/** Follows a path of the API; `undefined` follows nothing. */
export function useLive<T>(path: string | undefined, everyMs: number): Live<T> & { refresh(): void } {
  const [live, setLive] = useState<Live<T> & { path: string | undefined }>({ ...nothing, path })
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    if (path === undefined) return
    const stopping = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    let etag: string | undefined
    const poll = async () => {
      let pauseMs = everyMs
      const askedAt = performance.now()
      try {
        const response = await fetch(path.startsWith('/') ? path : apiRoot + path, {
          headers: etag === undefined ? {} : { 'if-none-match': etag },
          cache: 'no-store',
          signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(timeoutMs)]),
        })
        noteServerTime(response.headers.get('date'))
        if (response.status === 304) {
          setLive((known) => ({ ...known, confirmedMs: serverNow(), askedAt, problem: undefined }))
        } else if (response.ok) {
          etag = response.headers.get('etag') ?? undefined
          const data = (await response.json()) as T
          setLive({ data, confirmedMs: serverNow(), askedAt, problem: undefined, path })
        } else {
          const problem = await problemOf(response)
          setLive((known) => ({ ...known, problem, path }))
        }
      } catch (error) {
        if (stopping.signal.aborted) return
        pauseMs = retryMs
        setLive((known) => ({ ...known, problem: errorText(error), path }))
      }
      timer = setTimeout(() => void poll(), pauseMs)
    }
    void poll()
    return () => {
      stopping.abort()
      clearTimeout(timer)
    }
  }, [path, everyMs, turn])
  // What belongs to another path is not shown while the new one loads.
  const { data, confirmedMs, askedAt, problem } = live.path === path ? live : nothing
  return { data, confirmedMs, askedAt, problem, refresh: () => setTurn((count) => count + 1) }
}

/** @param path below the API, or from the root when it begins with a slash @throws Error with what the server says is wrong */
export async function post(path: string, body: unknown): Promise<void> {
  const response = await fetch(path.startsWith('/') ? path : apiRoot + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(await problemOf(response))
}

async function problemOf(response: Response): Promise<string> {
  try {
    const problem = (await response.json()) as { title?: string; detail?: string }
    return problem.detail ?? problem.title ?? `the server answered ${response.status}`
  } catch {
    return `the server answered ${response.status}`
  }
}
