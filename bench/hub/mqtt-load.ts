/** Publishes at QoS 1 over TLS from many connections, each with a window of unacknowledged messages; a round whenever told. */
import { MqttConnection } from '../mqtt-connection.ts'
import { argumentsOf, heard, say } from '../process.ts'

type Arguments = {
  port: number
  ca: string
  window: number
  bodyBytes: number
  clients: { clientId: string; username: string; password: string }[]
}
const { port, ca, window, bodyBytes, clients } = await argumentsOf<Arguments>()

class Client {
  readonly #connection: MqttConnection
  readonly #topic: string
  readonly #payload: Buffer
  #remaining = 0
  #underWay = 0
  #done: (() => void) | undefined

  constructor({ clientId, ...credentials }: Arguments['clients'][number]) {
    this.#topic = `devices/${clientId}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8`
    this.#payload = Buffer.from(JSON.stringify({ temperature: 21.5, filler: 'x'.repeat(bodyBytes - 36) }))
    this.#connection = new MqttConnection({ port, ca, clientId, ...credentials, acknowledged: () => this.#acknowledged() })
  }

  get connected(): Promise<void> {
    return this.#connection.connected
  }

  run(count: number): Promise<void> {
    this.#remaining = count
    return new Promise((resolve) => {
      this.#done = resolve
      this.#fill()
    })
  }

  #fill(): void {
    const count = Math.min(this.#remaining, window - this.#underWay)
    if (count === 0) return
    this.#remaining -= count
    this.#underWay += count
    this.#connection.publish(this.#topic, ...Array.from({ length: count }, () => this.#payload))
  }

  #acknowledged(): void {
    this.#underWay--
    if (this.#remaining > 0) this.#fill()
    else if (this.#underWay === 0) this.#done?.()
  }
}

const all = clients.map((client) => new Client(client))
await Promise.all(all.map(({ connected }) => connected))
say({ ready: true })
for await (const told of heard()) {
  const { messages } = told as { messages: number }
  const startedMs = performance.now()
  await Promise.all(all.map((client) => client.run(Math.ceil(messages / all.length))))
  say({ seconds: (performance.now() - startedMs) / 1000 })
}
