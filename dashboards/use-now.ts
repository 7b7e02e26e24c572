import { useEffect, useReducer } from 'preact/hooks'
import { serverNow } from './server-clock.ts'

/** The present, looked at again every so often. */
export function useNow(everyMs: number): number {
  const [, look] = useReducer((looks: number) => looks + 1, 0)
  useEffect(() => {
    const timer = setInterval(look, everyMs)
    return () => clearInterval(timer)
  }, [everyMs])
  return serverNow()
}
