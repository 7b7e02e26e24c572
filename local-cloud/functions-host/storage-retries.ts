/** Storage on the same computer is back within seconds, or not at all; the clients' own default sleeps up to a minute. */
export const storageRetries = { retryOptions: { maxTries: 6, retryDelayInMs: 250, maxRetryDelayInMs: 2_000 } } as const
