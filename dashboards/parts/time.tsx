import { formatDate } from './format.ts'

export function Time({ ms }: { ms: number }) {
  return <time dateTime={new Date(ms).toISOString()}>{formatDate(ms)}</time>
}
