/**
 * The comparison's load: many MQTT connections, one a device, QoS 1, round robin over the devices at a fixed total rate,
 * seeded, so that every pipeline gets the same values. Over TCP for mosquitto, over TLS for a gateway or hub. Says how many
 * messages were acknowledged, how many readings the comparison's deadband keeps, and when alerts arrived.
 */
import mqtt from 'mqtt'
import { randomOf } from '../../device-sim/random.ts'
import { MqttConnection } from '../mqtt-connection.ts'
import { argumentsOf, heard, say } from '../process.ts'

export type LoadArguments = {
  port: number
  /** Over TLS, with this authority. */
  ca?: string
  /** Readings. */
  perS: number
  seconds: number
  /** More than one: a message is an array. */
  readingsPerMessage: number
  /** An MQTT topic of alerts, subscribed to over a connection of its own. */
  alerts?: string
  clients: { deviceId: string; clientId: string; topic: string; username?: string; password?: string }[]
}

/** What it says when everything is acknowledged, or half a minute later. */
export type LoadResult = {
  sent: number
  acknowledged: number
  drainMs: number
  /** Readings that the deadband keeps. */
  kept: number
}

/** What it says when asked. */
export type LoadAlerts = { latenciesMs: number[] }

const { port, ca, perS, seconds, readingsPerMessage, alerts, clients } = await argumentsOf<LoadArguments>()
const random = randomOf('comparison')
/** Between two readings of a device. */
const everyMs = (1000 * clients.length) / perS

class Client {
  readonly base = 20 + 5 * random.next()
  readonly #connection: MqttConnection
  readonly #topic: string
  readonly #deviceId: string
  #seq = 0
  #lastKept: number | undefined
  kept = 0
  acknowledged = 0

  constructor({ deviceId, topic, ...credentials }: LoadArguments['clients'][number]) {
    this.#topic = topic
    this.#deviceId = deviceId
    this.#connection = new MqttConnection({ port, ca, ...credentials, acknowledged: () => this.acknowledged++ })
  }

  get connected(): Promise<void> {
    return this.#connection.connected
  }

  publish(timeMs: number): void {
    // The newest was read now, the others before it, at the device's own rate.
    const readings = Array.from({ length: readingsPerMessage }, (_, index) =>
      this.#next(Math.round(timeMs - (readingsPerMessage - 1 - index) * everyMs)),
    )
    const payload = JSON.stringify(readingsPerMessage === 1 ? readings[0] : readings)
    this.#connection.publish(this.#topic, payload)
  }

  #next(timeMs: number) {
    const isJump = random.next() < 0.005
    const value = Math.round((this.base + 0.5 * random.normal() + (isJump ? 25 + 5 * random.next() : 0)) * 1000) / 1000
    if (this.#lastKept === undefined || Math.abs(value - this.#lastKept) >= 0.3) {
      this.#lastKept = value
      this.kept++
    }
    return {
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
  }
}

/** Milliseconds from a reading's time to the arrival of its alert. */
const latenciesMs: number[] = []
if (alerts !== undefined) {
  const subscriber = await mqtt.connectAsync({ host: '127.0.0.1', port, protocolVersion: 4 })
  subscriber.on('message', (_topic, payload) => {
    const { timestamp } = JSON.parse(payload.toString()) as { timestamp: number }
    latenciesMs.push(Date.now() - timestamp)
  })
  await subscriber.subscribeAsync(alerts, { qos: 1 })
}

const all = clients.map((client) => new Client(client))
await Promise.all(all.map(({ connected }) => connected))
say({ ready: true })
const startedMs = performance.now()
let sent = 0
await new Promise<void>((resolve) => {
  const timer = setInterval(() => {
    const elapsedMs = Math.min(seconds * 1000, performance.now() - startedMs)
    const due = Math.floor((elapsedMs / 1000) * (perS / readingsPerMessage))
    const nowMs = Date.now()
    while (sent < due) all[sent++ % all.length]!.publish(nowMs)
    if (elapsedMs < seconds * 1000) return
    clearInterval(timer)
    resolve()
  }, 5)
})
const sum = (of: (client: Client) => number) => all.reduce((total, client) => total + of(client), 0)
const acknowledged = () => sum((client) => client.acknowledged)
const deadlineMs = performance.now() + 30_000
while (acknowledged() < sent && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, 50))
const drainMs = Math.round(performance.now() - startedMs - seconds * 1000)
say({ sent, acknowledged: acknowledged(), drainMs, kept: sum(({ kept }) => kept) } satisfies LoadResult)
// What is still queued in the pipeline may hold alerts: they are told when asked for.
for await (const _ of heard()) say({ latenciesMs: latenciesMs.sort((a, b) => a - b) } satisfies LoadAlerts)
