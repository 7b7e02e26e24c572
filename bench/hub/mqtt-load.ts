/** Publishes at QoS 1 over TLS from many connections, each with a window of unacknowledged messages; a round whenever told. */
import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'
import mqtt from 'mqtt-packet'
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
  readonly #socket: TLSSocket
  readonly #topic: string
  readonly #payload: Buffer
  #nextId = 1
  #remaining = 0
  #underWay = 0
  #done: (() => void) | undefined
  readonly connected: Promise<void>

  constructor({ clientId, username, password }: Arguments['clients'][number]) {
    this.#topic = `devices/${clientId}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8`
    this.#payload = Buffer.from(JSON.stringify({ temperature: 21.5, filler: 'x'.repeat(bodyBytes - 36) }))
    this.#socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca })
    this.#socket.setNoDelay(true)
    const parser = mqtt.parser({ protocolVersion: 4 })
    this.connected = new Promise((resolve, reject) => {
      this.#socket.on('error', reject)
      this.#socket.on('close', () => reject(new Error('closed')))
      parser.on('packet', (packet) => {
        if (packet.cmd === 'connack') return packet.returnCode === 0 ? resolve() : reject(new Error(`connack ${packet.returnCode}`))
        if (packet.cmd === 'puback') this.#acknowledged()
      })
    })
    this.#socket.on('data', (chunk: Buffer) => parser.parse(chunk))
    this.#socket.on('secureConnect', () =>
      this.#socket.write(
        mqtt.generate({
          cmd: 'connect',
          protocolId: 'MQTT',
          protocolVersion: 4,
          clean: true,
          clientId,
          keepalive: 600,
          username,
          password: Buffer.from(password),
        }),
      ),
    )
  }

  run(count: number): Promise<void> {
    this.#remaining = count
    return new Promise((resolve) => {
      this.#done = resolve
      this.#fill()
    })
  }

  #fill(): void {
    const packets: Buffer[] = []
    while (this.#remaining > 0 && this.#underWay < window) {
      this.#remaining--
      this.#underWay++
      packets.push(
        mqtt.generate({
          cmd: 'publish',
          topic: this.#topic,
          payload: this.#payload,
          qos: 1,
          messageId: this.#nextId,
          retain: false,
          dup: false,
        }),
      )
      this.#nextId = this.#nextId === 65_535 ? 1 : this.#nextId + 1
    }
    if (packets.length > 0) this.#socket.write(Buffer.concat(packets))
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
