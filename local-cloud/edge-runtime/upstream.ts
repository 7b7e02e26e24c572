/**
 * The gateway's connections to its hub: one for each identity it speaks for, over MQTT, with tokens signed by that
 * identity's key. While the hub is away, the client keeps what is under way and goes on when it is back.
 */
import mqtt from 'mqtt'
import type { MqttClient } from 'mqtt'
import { z } from 'zod'
import { nameOf, pathOfIdentity } from '../device-backend.ts'
import type { MessageToClient, TwinResponse } from '../device-backend.ts'
import { formatPropertyBag, parsePropertyBag } from '../mqtt/property-bag.ts'
import { mergePatch, patchBetween } from '../iot-hub/json-merge-patch.ts'
import type { JsonObject } from '../iot-hub/json-merge-patch.ts'
import { createAccessToken } from '../security/shared-access.ts'
import type { EdgeMessage } from './edge-message.ts'

const Desired = z.looseObject({ $version: z.number() })
const TwinBody = z.looseObject({ desired: Desired.optional() })

export type UpstreamIdentity = { readonly deviceId: string; readonly moduleId: string | undefined; readonly key: string }

/** @param patch as JSON with its `$version`, and `desired` the same as an object */
type DesiredListener = (version: number, patch: Buffer, desired: JsonObject) => void
type MethodListener = (methodName: string, requestId: string, payload: Buffer) => void
type MessageListener = (message: MessageToClient) => Promise<void>

const tokenMs = 3_600_000
const twinTimeoutMs = 10_000
const apiVersion = '2021-04-12'

export class UpstreamLink {
  readonly #client: MqttClient
  readonly #identity: UpstreamIdentity
  readonly #twinRequests = new Map<string, (response: TwinResponse) => void>()
  #desiredListener: DesiredListener | undefined
  /** As far as it has passed by here. */
  #desired: JsonObject = {}
  #methodListener: MethodListener | undefined
  #cloudToDeviceListener: MessageListener | undefined
  #nextRequest = 1
  #isTwinSubscribed: Promise<unknown> | undefined

  constructor(hubHost: string, identity: UpstreamIdentity, onError: (error: Error) => void) {
    this.#identity = identity
    const name = nameOf(identity)
    const [host, port = '8883'] = hubHost.split(':')
    const resource = `${hubHost}/${pathOfIdentity(identity)}`
    const password = () => createAccessToken(resource, Buffer.from(identity.key, 'base64'), Date.now() + tokenMs)
    this.#client = mqtt.connect({
      protocol: 'mqtts',
      host: host!,
      port: Number(port),
      protocolVersion: 4,
      clean: false,
      clientId: name,
      username: `${hubHost}/${name}/?api-version=${apiVersion}`,
      password: password(),
      reconnectPeriod: 1_000,
      keepalive: 60,
    })
    // A token may have expired while the connection was up; a new connection gets a new one.
    this.#client.on('reconnect', () => (this.#client.options.password = password()))
    this.#client.on('error', onError)
    this.#client.on('message', (topic, body) => this.#receive(topic, body))
    let isFirst = true
    this.#client.on('connect', () => {
      if (!isFirst) void this.#catchUp().catch(onError)
      isFirst = false
    })
    // A message to the device is acknowledged to the hub when the device has acknowledged it.
    this.#client.handleMessage = ({ topic, payload }, done) => {
      const bag = /\/messages\/devicebound\/(.*)$/.exec(topic)?.[1]
      if (bag === undefined || !this.#cloudToDeviceListener) return done()
      this.#cloudToDeviceListener({ bag: parsePropertyBag(bag), body: Buffer.from(payload) }).then(
        () => done(),
        (error: Error) => done(error),
      )
    }
  }

  /** Resolves when the hub has acknowledged. */
  async send(message: EdgeMessage): Promise<void> {
    // The output's name steers routes at the edge; upstream it means nothing.
    const system = new Map(message.system.filter(([name]) => name !== 'on'))
    const bag = formatPropertyBag({ system, application: message.application })
    await this.#client.publishAsync(`${pathOfIdentity(this.#identity)}/messages/events/${bag}`, Buffer.from(message.body), { qos: 1 })
  }

  async twinRequest(topic: (requestId: string) => string, body: Buffer): Promise<TwinResponse> {
    await (this.#isTwinSubscribed ??= this.#client.subscribeAsync('$iothub/twin/res/#', { qos: 0 }))
    const requestId = String(this.#nextRequest++)
    return new Promise((resolve) => {
      const timer = setTimeout(
        () =>
          this.#twinRequests.get(requestId)?.({
            status: 503,
            body: JSON.stringify({ errorCode: 503001, message: 'the hub did not answer in time' }),
          }),
        twinTimeoutMs,
      )
      this.#twinRequests.set(requestId, (response) => {
        clearTimeout(timer)
        this.#twinRequests.delete(requestId)
        resolve(response)
      })
      this.#client.publish(topic(requestId), body, { qos: 0 })
    })
  }

  /** What changed while the link was down is told as one patch. */
  async #catchUp(): Promise<void> {
    if (!this.#desiredListener) return
    const before = this.#desired
    await this.twinRequest((requestId) => `$iothub/twin/GET/?$rid=${requestId}`, Buffer.from(' '))
    const { $version } = this.#desired
    if ($version === undefined || $version === before.$version) return
    const patch = { ...patchBetween(before, this.#desired), $version }
    this.#desiredListener(Number($version), Buffer.from(JSON.stringify(patch)), patch)
  }

  /** Desired properties of this identity, full or as patches, from now on. */
  async onDesired(listener: DesiredListener): Promise<void> {
    this.#desiredListener = listener
    await this.#client.subscribeAsync('$iothub/twin/PATCH/properties/desired/#', { qos: 0 })
  }

  /** Calls of direct methods on this identity, from now on. */
  async onMethods(listener: MethodListener): Promise<void> {
    this.#methodListener = listener
    await this.#client.subscribeAsync('$iothub/methods/POST/#', { qos: 0 })
  }

  answerMethod(requestId: string, status: number, body: Buffer): void {
    this.#client.publish(`$iothub/methods/res/${status}/?$rid=${requestId}`, body, { qos: 0 })
  }

  /** Messages from the cloud to this device; one that the listener rejects is delivered again later. */
  async onCloudToDevice(listener: MessageListener): Promise<void> {
    this.#cloudToDeviceListener = listener
    await this.#client.subscribeAsync(`devices/${this.#identity.deviceId}/messages/devicebound/#`, { qos: 1 })
  }

  #receive(topic: string, body: Buffer): void {
    const response = /^\$iothub\/twin\/res\/(\d+)\/\?\$rid=([^&]*)(?:&\$version=(\d+))?/.exec(topic)
    if (response) {
      const [, status, requestId = '', version] = response
      if (status === '200') this.#desired = TwinBody.safeParse(JSON.parse(body.toString())).data?.desired ?? this.#desired
      this.#twinRequests.get(requestId)?.({
        status: Number(status),
        body: body.toString(),
        ...(version === undefined ? {} : { version: Number(version) }),
      })
    } else if (topic.startsWith('$iothub/twin/PATCH/properties/desired/')) {
      const patch = Desired.safeParse(JSON.parse(body.toString()))
      if (!patch.success) return
      this.#desired = mergePatch(this.#desired, patch.data)
      this.#desiredListener?.(patch.data.$version, body, patch.data)
      return
    }
    const call = /^\$iothub\/methods\/POST\/([^/]+)\/\?\$rid=(.*)$/.exec(topic)
    if (call) this.#methodListener?.(decodeURIComponent(call[1]!), call[2]!, body)
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true)
  }
}
