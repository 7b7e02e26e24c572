/**
 * The twin of an agent, over the device SDK: desired properties are handed over whole, at each connection and each change;
 * what is reported while the hub is away is reported when it is back.
 */
import type { Client, Twin } from 'azure-iot-device'

export type AgentTwinOptions = {
  readonly onDesired: (desired: Readonly<Record<string, unknown>>) => void
  readonly onError: (error: Error) => void
}

export class AgentTwin {
  readonly #options: AgentTwinOptions
  #twin: Twin | undefined
  #unsent: Record<string, unknown> = {}
  #isSending = false

  constructor(options: AgentTwinOptions) {
    this.#options = options
  }

  /** Follows the twin of another client; what was not reported by the last is reported by this one. */
  follow(client: Client): void {
    this.#twin = undefined
    client.on('connect', () => {
      const twin = this.#twin
      // Changes made while the connection was away are not sent again: they are asked for.
      if (twin) twin.get((error) => (error ? this.#options.onError(error) : void this.#send()))
      else
        client.getTwin((error, found) => {
          if (error || !found) return this.#options.onError(error ?? new Error('the hub gave no twin'))
          this.#twin = found
          found.on('error', this.#options.onError)
          found.on('properties.desired', () => this.#options.onDesired(found.properties.desired as Record<string, unknown>))
          void this.#send()
        })
    })
  }

  /** Properties with the same name that were not sent yet give way. */
  report(properties: Record<string, unknown>): void {
    Object.assign(this.#unsent, properties)
    void this.#send()
  }

  async #send(): Promise<void> {
    const twin = this.#twin
    if (!twin || this.#isSending) return
    this.#isSending = true
    try {
      while (Object.keys(this.#unsent).length > 0) {
        const properties = this.#unsent
        this.#unsent = {}
        const error = await new Promise<Error | undefined>((done) => twin.properties.reported.update(properties, done))
        if (!error) continue
        this.#unsent = { ...properties, ...this.#unsent }
        this.#options.onError(error)
        return
      }
    } finally {
      this.#isSending = false
    }
  }
}
