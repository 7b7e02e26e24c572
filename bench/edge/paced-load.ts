/**
 * The comparison's load: many MQTT connections, one a device, one reading a message at QoS 1, round robin over the devices
 * at a fixed total rate, seeded. Over TCP for mosquitto, over TLS for a gateway. Says how many were acknowledged.
 */
import net from 'node:net'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import mqtt from 'mqtt-packet'
import { randomOf } from '../../device-sim/random.ts'
import { argumentsOf, say } from '../process.ts'

export type LoadArguments = {
  port: number
  /** Over TLS, with this authority. */
  ca?: string
  perS: number
  seconds: number
  clients: { deviceId: string; clientId: string; topic: string; username?: string; password?: string }[]
}
const { port, ca, perS, seconds, clients } = await argumentsOf<LoadArguments>()
const random = randomOf('comparison')

class Client {
  readonly base = 20 + 5 * random.next()
  readonly #socket: Socket
  readonly #topic: string
  readonly #deviceId: string
  #nextId = 1
  #seq = 0
  acknowledged = 0
  readonly connected: Promise<void>

  constructor({ deviceId, clientId, topic, username, password }: LoadArguments['clients'][number]) {
    this.#topic = topic
    this.#deviceId = deviceId
    this.#socket =
      ca === undefined ? net.connect({ port, host: '127.0.0.1' }) : tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca })
    this.#socket.setNoDelay(true)
    const parser = mqtt.parser({ protocolVersion: 4 })
    this.connected = new Promise((resolve, reject) => {
      this.#socket.on('error', reject)
      this.#socket.on('close', () => reject(new Error('closed')))
      parser.on('packet', (packet) => {
        if (packet.cmd === 'connack') return packet.returnCode === 0 ? resolve() : reject(new Error(`connack ${packet.returnCode}`))
        if (packet.cmd === 'puback') this.acknowledged++
      })
    })
    this.#socket.on('data', (chunk: Buffer) => parser.parse(chunk))
    this.#socket.once(ca === undefined ? 'connect' : 'secureConnect', () => {
      const credentials = username === undefined ? {} : { username, password: Buffer.from(password!) }
      this.#socket.write(
        mqtt.generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId, keepalive: 600, ...credentials }),
      )
    })
  }

  publish(timeMs: number): void {
    const isJump = random.next() < 0.005
    const value = Math.round((this.base + 0.5 * random.normal() + (isJump ? 25 + 5 * random.next() : 0)) * 1000) / 1000
    const reading = {
      deviceId: this.#deviceId,
      sensorId: 'temperature',
      timestamp: timeMs,
      no: String(++this.#seq),
      value,
      unit: 'C',
      battery: 3.71,
      rssi: -61,
      site: 'plant-07',
      fw: '1.4.2',
    }
    const payload = JSON.stringify(reading)
    this.#socket.write(
      mqtt.generate({ cmd: 'publish', topic: this.#topic, payload, qos: 1, messageId: this.#nextId, retain: false, dup: false }),
    )
    this.#nextId = this.#nextId === 65_535 ? 1 : this.#nextId + 1
  }
}

const all = clients.map((client) => new Client(client))
await Promise.all(all.map(({ connected }) => connected))
say({ ready: true })
const startedMs = performance.now()
let sent = 0
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    const due = Math.floor(Math.min(seconds * 1000, performance.now() - startedMs) * (perS / 1000))
    const nowMs = Date.now()
    while (sent < due) all[sent++ % all.length]!.publish(nowMs)
    if (sent < seconds * perS) return
    clearInterval(timer)
    resolve()
  }, 5)
})
const acknowledged = () => all.reduce((sum, client) => sum + client.acknowledged, 0)
const deadlineMs = performance.now() + 30_000
while (acknowledged() < sent && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 50))
say({ sent, acknowledged: acknowledged(), drainMs: Math.round(performance.now() - startedMs - seconds * 1000) })
