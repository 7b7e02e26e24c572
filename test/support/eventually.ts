import { setTimeout as delay } from 'node:timers/promises'

/** Asks again until the answer is there; fails with the last problem when the time is over. */
export async function eventually<T>(
  ask: () => Promise<T | undefined> | T | undefined,
  { withinMs = 15_000, what = 'the condition' } = {},
): Promise<T> {
  const deadline = Date.now() + withinMs
  let problem: unknown
  for (;;) {
    try {
      const answer = await ask()
      if (answer !== undefined) return answer
    } catch (error) {
      problem = error
    }
    if (Date.now() > deadline) throw new Error(`${what} did not come about within ${withinMs} ms`, { cause: problem })
    await delay(100)
  }
}
