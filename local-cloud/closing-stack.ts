/** What was opened, to be closed in reverse order; Node 20 has no AsyncDisposableStack. */
export class ClosingStack {
  #closers: (() => Promise<unknown>)[] = []

  defer(close: () => Promise<unknown>): void {
    this.#closers.push(close)
  }

  /** Takes over what is being opened. */
  async own<T extends { close(): Promise<void> | void }>(opening: Promise<T>): Promise<T> {
    const part = await opening
    this.defer(async () => part.close())
    return part
  }

  /** Closes everything, also when one of them fails. @throws the first failure, afterwards */
  async close(): Promise<void> {
    let failure: { error: unknown } | undefined
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close()
      } catch (error) {
        failure ??= { error }
      }
    }
    if (failure) throw failure.error
  }
}
