/** Nobody may ask faster than the app can answer for all. One worker's memory: a limit for carelessness, not a shield. */
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'
import { Problem } from './problem.ts'

/** A page with fifty charts asks some fifty times a second at its start; a person acts far more slowly than ten times a second. */
const queries = new RateLimiterMemory({ points: 2_000, duration: 10 })
const commands = new RateLimiterMemory({ points: 300, duration: 10 })

/** @throws Problem 429 with how long to wait */
export async function requirePatience(method: string, caller: string): Promise<void> {
  try {
    await (method === 'GET' ? queries : commands).consume(caller)
  } catch (error) {
    if (!(error instanceof RateLimiterRes)) throw error
    const seconds = Math.max(1, Math.ceil(error.msBeforeNext / 1000))
    throw new Problem(429, 'Too many requests', `'${caller}' asks too often; try again in ${seconds} s`, { 'retry-after': String(seconds) })
  }
}
