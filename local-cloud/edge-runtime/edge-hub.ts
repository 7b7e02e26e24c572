/**
 * edgeHub: a gateway that devices and modules connect to as if it were the hub. Messages are stored first, acknowledged
 * then, and routed by the deployment; twins are the hub's own, asked for on the client's behalf.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { z } from 'zod'
import { errorText } from '../../contract/error-text.ts'
import { nameOf } from '../device-backend.ts'
import type {
  Admission,
  Credentials,
  DeviceBackend,
  DeviceLink,
  Identity,
  IncomingTelemetry,
  PropertyBag,
  Subscription,
  TwinResponse,
} from '../device-backend.ts'
import { admit, proveByToken } from '../iot-hub/device-credentials.ts'
import { DirectMethods, MethodFailedError } from '../iot-hub/direct-methods.ts'
import type { MethodCall, MethodResult } from '../iot-hub/direct-methods.ts'
import type { JsonObject } from '../iot-hub/json-merge-patch.ts'
import type { EdgeMessage } from './edge-message.ts'
import type { EdgeHubDesired, EdgeRoute, Endpoint } from './routes.ts'
import { credentialsOf, keyOfIdentity } from './scope.ts'
import type { EdgeDevice, EdgeScope } from './scope.ts'
import type { SessionStore } from '../session-store.ts'
import type { StoreAndForward } from './store-and-forward.ts'
import { UpstreamLink } from './upstream.ts'

export type EdgeHubOptions = {
  readonly edge: EdgeDevice
  readonly scope: EdgeScope
  readonly store: StoreAndForward
  readonly sessions: SessionStore
  readonly nowMs: () => number
  readonly log: (event: string, fields: Record<string, unknown>) => void
}

type Client = { readonly link: DeviceLink; readonly isClean: boolean; readonly subscriptions: Set<Subscription> }

/** Messages whose route no longer exists or never matched are dropped, as edgeHub does, but counted. */
export type EdgeHubCounts = { received: number; unrouted: number }

const reportEveryMs = 1_000
const reportedClientsMax = 150
/** A module that gives a message back gets it again after this. */
const abandonedPauseMs = 1_000

export class EdgeHub implements DeviceBackend {
  readonly #options: EdgeHubOptions
  readonly #clients = new Map<string, Client>()
  readonly #upstream = new Map<string, UpstreamLink>()
  #routes: readonly EdgeRoute[] = []
  #timeToLiveS = 7200
  readonly #reportedClients = new Set<string>()
  #clientChanges: JsonObject = {}
  #reporting: NodeJS.Timeout | undefined
  readonly #methods = new DirectMethods()
  readonly counts: EdgeHubCounts = { received: 0, unrouted: 0 }

  constructor(options: EdgeHubOptions) {
    this.#options = options
  }

  /** Takes the routes of a deployment over and drains the queues they feed. */
  async applyRoutes(
    routes: readonly EdgeRoute[],
    { timeToLiveSecs, storeLimits }: z.infer<typeof EdgeHubDesired>['storeAndForwardConfiguration'],
  ): Promise<void> {
    this.#routes = routes
    this.#timeToLiveS = timeToLiveSecs
    if (storeLimits) this.#options.store.bytesMax = storeLimits.maxSizeBytes
    await this.#options.store.attach('$upstream', this.#queuesOf('$upstream'), (message) => this.#sendUpstream(message))
    for (const { link, subscriptions } of this.#clients.values()) if (subscriptions.has('module-inputs')) await this.#attachInputs(link)
  }

  async admit(credentials: Credentials): Promise<Admission> {
    const { scope, nowMs } = this.#options
    const find = (identity: Identity) => {
      const known = scope.get(identity)
      return known && credentialsOf(known)
    }
    const decide = () => admit(credentials, { find, policyKey: () => undefined, authorities: [], nowMs })
    const admission = decide()
    if (admission.accepted) return admission
    // Perhaps it was registered, or got a new key, a moment ago.
    await scope.refresh().catch((error: unknown) => this.#options.log('scope-refresh-failed', { error: errorText(error) }))
    return decide()
  }

  connected(link: DeviceLink, isClean: boolean): ReadonlySet<Subscription> | undefined {
    const name = nameOf(link.identity)
    const older = this.#clients.get(name)
    this.#clients.set(name, { link, isClean, subscriptions: new Set() })
    older?.link.close('a newer connection of the same identity')
    this.#reportClient(name, 'Connected')
    // What waits for a client waits in queues, and on the hub; what it listens for is kept.
    return this.#options.sessions.opened(name, isClean)
  }

  disconnected(link: DeviceLink): void {
    const name = nameOf(link.identity)
    if (this.#clients.get(name)?.link !== link) return
    this.#clients.delete(name)
    this.#methods.disconnected(link)
    this.#reportClient(name, 'Disconnected')
    if (link.identity.moduleId !== undefined)
      for (const endpoint of this.#inputsOf(link.identity.moduleId)) this.#options.store.detach(endpoint)
  }

  telemetry({ link, bag, body }: IncomingTelemetry): Promise<void> {
    const { deviceId, moduleId } = link.identity
    const output = bag.system.get('on')
    const application = Object.fromEntries(bag.application)
    const system = {
      connectionDeviceId: deviceId,
      connectionModuleId: moduleId,
      contentType: bag.system.get('ct'),
      contentEncoding: bag.system.get('ce'),
      messageId: bag.system.get('mid'),
      correlationId: bag.system.get('cid'),
    }
    this.counts.received++
    const matching = this.#routes.filter((route) => route.matches({ moduleId, output, system, application }))
    if (matching.length === 0) {
      this.counts.unrouted++
      return Promise.resolve()
    }
    const seconds = Math.max(...matching.map(({ timeToLiveS }) => timeToLiveS || this.#timeToLiveS))
    const message: EdgeMessage = {
      deviceId,
      moduleId,
      system: [...bag.system],
      application: bag.application.map(([name, value]) => [name, value]),
      expiresMs: this.#options.nowMs() + seconds * 1000,
      body,
    }
    return this.#options.store.append([...new Set(matching.map(queueName))], message)
  }

  twinGet(link: DeviceLink): Promise<TwinResponse> {
    return this.#upstreamOf(link.identity).twinRequest((requestId) => `$iothub/twin/GET/?$rid=${requestId}`, Buffer.from(' '))
  }

  twinReported(link: DeviceLink, body: Buffer): Promise<TwinResponse> {
    return this.#upstreamOf(link.identity).twinRequest((requestId) => `$iothub/twin/PATCH/properties/reported/?$rid=${requestId}`, body)
  }

  /**
   * Calls a method on a client of this gateway, on behalf of one of its modules: the cloud is not asked.
   * @throws MethodFailedError
   */
  callMethod(identity: Identity, call: MethodCall): Promise<MethodResult> {
    const client = this.#clients.get(nameOf(identity))
    if (!client?.subscriptions.has('methods'))
      return Promise.reject(
        new MethodFailedError('disconnected', `'${nameOf(identity)}' is not connected to this gateway, or takes no methods`),
      )
    return this.#methods.call(client.link, call)
  }

  /** Whether a token is that of a module of this gateway. */
  isOwnModule(identity: Identity, token: string): boolean {
    const { scope, nowMs, edge } = this.#options
    const find = (wanted: Identity) => {
      const known = scope.get(wanted)
      return known && credentialsOf(known)
    }
    if (identity.deviceId !== edge.deviceId || identity.moduleId === undefined) return false
    return proveByToken(identity, token, { find, policyKey: () => undefined, authorities: [], nowMs }).isProved
  }

  methodResponse(link: DeviceLink, requestId: string, status: number, body: Buffer): void {
    if (this.#methods.isPending(requestId)) return this.#methods.answer(link, requestId, status, body)
    this.#upstreamOf(link.identity).answerMethod(requestId, status, body)
  }

  /** Reported properties of one of the gateway's own modules. */
  report(identity: Identity, reported: JsonObject): void {
    const body = Buffer.from(JSON.stringify(reported))
    this.#upstreamOf(identity)
      .twinRequest((requestId) => `$iothub/twin/PATCH/properties/reported/?$rid=${requestId}`, body)
      .catch((error: unknown) => this.#options.log('report-failed', { identity: nameOf(identity), error: String(error) }))
  }

  /** Told together: a fleet that connects is one change of the twin, not a thousand. */
  #reportClient(name: string, status: 'Connected' | 'Disconnected'): void {
    // Names with characters that properties must not have are left out; so is what would not fit into a twin.
    if (/[.$ ]/.test(name) || (!this.#reportedClients.has(name) && this.#reportedClients.size >= reportedClientsMax)) return
    this.#reportedClients.add(name)
    const time = new Date(this.#options.nowMs()).toISOString()
    this.#clientChanges[name] = { status, [status === 'Connected' ? 'lastConnectedTimeUtc' : 'lastDisconnectedTimeUtc']: time }
    this.#reporting ??= setTimeout(() => {
      this.#reporting = undefined
      this.report({ deviceId: this.#options.edge.deviceId, moduleId: '$edgeHub' }, { clients: this.#clientChanges })
      this.#clientChanges = {}
    }, reportEveryMs)
  }

  subscribed(link: DeviceLink, subscription: Subscription, isOn: boolean): void {
    const client = this.#clients.get(nameOf(link.identity))
    if (client?.link !== link) return
    if (isOn) client.subscriptions.add(subscription)
    else client.subscriptions.delete(subscription)
    if (!client.isClean) this.#options.sessions.keep(nameOf(link.identity), [...client.subscriptions])
    if (!isOn) return
    const failed = (error: unknown) =>
      this.#options.log('subscription-failed', { client: nameOf(link.identity), subscription, error: String(error) })
    if (subscription === 'module-inputs') this.#attachInputs(link).catch(failed)
    const current = () => this.#clients.get(nameOf(link.identity))?.link
    if (subscription === 'desired-properties')
      this.#upstreamOf(link.identity)
        .onDesired((version, patch) => current()?.desired(version, patch))
        .catch(failed)
    if (subscription === 'methods')
      this.#upstreamOf(link.identity)
        .onMethods((methodName, requestId, payload) => current()?.call(methodName, requestId, payload))
        .catch(failed)
    if (subscription === 'cloud-to-device')
      this.#upstreamOf(link.identity)
        .onCloudToDevice(async (message) => {
          const client = current()
          if (!client) throw new Error(`'${nameOf(link.identity)}' is not connected`)
          if ((await client.deliver(message)) === 'abandon') throw new Error(`'${nameOf(link.identity)}' gave a message back`)
        })
        .catch(failed)
  }

  refused(reason: string, detail: string): void {
    this.#options.log('refused', { reason, detail })
  }

  /** An upstream connection of one of the gateway's own identities. */
  upstreamOf(identity: Identity): UpstreamLink {
    return this.#upstreamOf(identity)
  }

  async #attachInputs(link: DeviceLink): Promise<void> {
    const { moduleId } = link.identity
    if (moduleId === undefined) return
    for (const endpoint of this.#inputsOf(moduleId)) {
      const input = endpoint.slice(moduleId.length + 1)
      await this.#options.store.attach(endpoint, this.#queuesOf(endpoint), async (message) => {
        const offered = { input, bag: inputBag(message), body: Buffer.from(message.body) }
        while ((await link.deliver(offered)) === 'abandon') await delay(abandonedPauseMs)
      })
    }
  }

  #inputsOf(moduleId: string): string[] {
    const endpoints = this.#routes
      .map(({ endpoint }) => endpoint)
      .filter((endpoint) => endpoint.kind === 'module-input' && endpoint.moduleId === moduleId)
    return [...new Set(endpoints.map(endpointName))]
  }

  #queuesOf(endpoint: string): string[] {
    const routes = this.#routes.filter((route) => endpointName(route.endpoint) === endpoint).sort((a, b) => a.priority - b.priority)
    return [...new Set(routes.map(queueName))]
  }

  async #sendUpstream(message: EdgeMessage): Promise<void> {
    await this.#upstreamOf({ deviceId: message.deviceId, moduleId: message.moduleId }).send(message)
  }

  #upstreamOf(identity: Identity): UpstreamLink {
    const name = nameOf(identity)
    const known = this.#upstream.get(name)
    if (known) return known
    const stored = this.#options.scope.get(identity)
    if (!stored) throw new Error(`'${name}' is not in the scope of this gateway`)
    const link = new UpstreamLink(this.#options.edge.hubHost, { ...identity, key: keyOfIdentity(stored) }, (error) =>
      this.#options.log('upstream-error', { identity: name, error: error.message }),
    )
    this.#upstream.set(name, link)
    return link
  }

  async close(): Promise<void> {
    clearTimeout(this.#reporting)
    await Promise.all([...this.#upstream.values()].map((link) => link.close()))
  }
}

function endpointName(endpoint: Endpoint): string {
  return endpoint.kind === 'upstream' ? '$upstream' : `${endpoint.moduleId}/${endpoint.input}`
}

function queueName({ endpoint, priority }: EdgeRoute): string {
  return `${endpointName(endpoint)}#${priority}`
}

/** What the module must know of the sender comes as system properties `cdid` and `cmid`. */
function inputBag({ deviceId, moduleId, system, application }: EdgeMessage): PropertyBag {
  const named = new Map(system.filter(([name]) => name !== 'on'))
  named.set('cdid', deviceId)
  if (moduleId !== undefined) named.set('cmid', moduleId)
  return { system: named, application }
}
