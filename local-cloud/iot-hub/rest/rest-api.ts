/** IoT Hub's REST API: which address means what, and which right it needs. */
import { z } from 'zod'
import { QuerySyntaxError } from '../../query/tokens.ts'
import { parseQuery } from '../../query/select.ts'
import type { CloudToDevice } from '../cloud-to-device.ts'
import type { ConfigurationService } from '../configuration-service.ts'
import { Configuration, modulesOf } from '../configurations.ts'
import type { Faults } from '../../faults.ts'
import { HubError } from '../hub-errors.ts'
import type { IotHub } from '../iot-hub.ts'
import type { JobService } from '../job-service.ts'
import type { LockedGroup, ServiceQueue } from '../service-queue.ts'
import type { Throttles, ThrottledOperation } from '../throttles.ts'
import type { Authorisation } from './authorisation.ts'
import type { DeviceSide } from './device-side.ts'
import type { Identities } from './identities.ts'
import { errorBody, headerOf, jsonBody, page, requireEtag } from './request.ts'
import type { RestRequest, RestResponse, Right } from './request.ts'
import type { Twins } from './twins.ts'

export type HubRestOptions = {
  readonly hub: IotHub
  readonly authorisation: Authorisation
  readonly identities: Identities
  readonly twins: Twins
  readonly configurations: ConfigurationService
  readonly jobs: JobService
  readonly devices: DeviceSide
  readonly cloudToDevice: CloudToDevice
  readonly feedback: ServiceQueue
  readonly throttles: Throttles
  readonly faults: Faults
  readonly nowMs: () => number
}

export class HubRestApi {
  readonly #options: HubRestOptions
  readonly #feedbackLocks = new Map<string, LockedGroup>()

  constructor(options: HubRestOptions) {
    this.#options = options
  }

  async handle(request: RestRequest): Promise<RestResponse> {
    try {
      return await this.#route(request)
    } catch (error) {
      const known = asHubError(error)
      if (!known) throw error
      if (known.status === 401 || known.status === 429)
        this.#options.hub.refused(known.code, `${request.method} ${request.url.pathname}: ${known.message}`)
      return errorBody(known)
    }
  }

  async #route(request: RestRequest): Promise<RestResponse> {
    const { authorisation, identities, twins, devices } = this.#options
    const [collection = '', id, area, moduleId, action] = request.path
    const isWrite = request.method !== 'GET' && request.method !== 'HEAD'
    const may = (operation: ThrottledOperation, ...oneOf: readonly Right[]) => {
      authorisation.require(request, ...oneOf)
      return this.#throttle(operation)
    }
    const registry = () => may('registry', isWrite ? 'registryWrite' : 'registryRead')
    switch (collection.toLowerCase()) {
      case 'devices':
        if (id === undefined) {
          await registry()
          if (request.method === 'GET') return identities.list(request)
          if (request.method === 'POST') return identities.bulk(request)
          break
        }
        if (id === 'query' && request.method === 'POST' && area === undefined) {
          await may('query', 'registryRead', 'service')
          return this.#query(request)
        }
        if (action === 'devicesAndModulesInTargetDeviceScope' || action === 'devicesAndModulesInDeviceScope')
          return this.#scopeOf(request, id, moduleId!)
        if (area === undefined) {
          await registry()
          return identities.handle(request, id, undefined)
        }
        if (area === 'modules') {
          // A device may manage its own modules: how the identity service of an edge device gets them.
          if (!authorisation.isDevice(request, id)) await registry()
          return moduleId === undefined ? identities.modules(id) : identities.handle(request, id, moduleId)
        }
        if (area === 'applyConfigurationContent' && request.method === 'POST') {
          await registry()
          return this.#deploy(request, id)
        }
        if (area === 'commands' && request.method === 'DELETE') {
          await may('registry', 'service')
          return { status: 200, body: { deviceId: id, moduleId: null, totalMessagesPurged: await this.#options.cloudToDevice.purge(id) } }
        }
        return (await devices.handle(request, id, request.path.slice(2))) ?? unknown(request)
      case 'twins': {
        if (id === undefined) break
        const module = area === 'modules' ? moduleId : undefined
        const isMethod = area === 'methods' || action === 'methods'
        if (isMethod) {
          // A module may call methods of its edge device and of the modules there.
          if (!this.#isNeighbour(request, id)) await may('method', 'service')
          return twins.method(request, id, module)
        }
        if (area !== undefined && module === undefined) break
        await may(isWrite ? 'twin-update' : 'twin-read', 'service')
        return twins.handle(request, id, module)
      }
      case 'digitaltwins':
        if (id === undefined) break
        await may(request.method === 'POST' ? 'method' : 'twin-read', 'service')
        return twins.digitalTwin(request, id, request.path.slice(2))
      case 'configurations':
        await registry()
        return this.#configurations(request, id)
      case 'jobs':
        return this.#jobs(request, request.path.slice(1), may)
      case 'messages':
        await may('registry', 'service')
        return this.#feedback(request)
      case 'statistics':
        await may('registry', 'registryRead')
        return this.#statistics(id ?? '')
    }
    return unknown(request)
  }

  async #throttle(operation: ThrottledOperation): Promise<void> {
    if (this.#options.faults.strikes('throttle', operation)) throw new HubError('ThrottlingException', 'fault injection: throttle')
    const permit = this.#options.throttles.permit(operation)
    if (permit.kind === 'refuse') throw new HubError('ThrottlingException', permit.code)
    if (permit.kind === 'wait') await new Promise((resolve) => setTimeout(resolve, permit.ms))
  }

  #isNeighbour(request: RestRequest, deviceId: string): boolean {
    const module = headerOf(request, 'x-ms-edge-moduleid')?.split('/')
    const [device, moduleId] = module ?? []
    return device === deviceId && moduleId !== undefined && this.#options.authorisation.isDevice(request, deviceId, moduleId)
  }

  #query(request: RestRequest): RestResponse {
    const { query: text } = jsonBody(request, z.looseObject({ query: z.string() }))
    const query = parseQuery(text)
    const rows = query.run(this.#documents(query.from))
    const type = !query.isWhole ? 'Raw' : query.from === 'devices.jobs' ? 'DeviceJob' : 'Twin'
    const { rows: shown, headers } = page(request, rows)
    return { status: 200, body: shown, headers: { ...headers, 'x-ms-item-type': type } }
  }

  #documents(from: string): Iterable<Record<string, unknown>> {
    if (from === 'devices') return this.#options.twins.documents('devices')
    if (from === 'devices.modules') return this.#options.twins.documents('modules')
    if (from === 'devices.jobs') return this.#options.jobs.documents()
    throw new QuerySyntaxError(`there is no collection '${from}': devices, devices.modules or devices.jobs`)
  }

  async #deploy(request: RestRequest, deviceId: string): Promise<RestResponse> {
    const { hub, configurations } = this.#options
    const device = hub.registry.get(deviceId)
    if (!device) throw new HubError('DeviceNotFound', `'${deviceId}' is not registered`)
    const content = jsonBody(request, Configuration.shape.content)
    if (content.deviceContent || !content.modulesContent) {
      if (!content.deviceContent) throw new HubError('ArgumentInvalid', 'the content has neither modulesContent nor deviceContent')
      await hub.patchTwin(device, { desired: modulesOf([apply(content.deviceContent)]).get('device')! })
      return { status: 204 }
    }
    if (!device.isEdge) throw new HubError('ArgumentInvalid', `'${deviceId}' is not an edge device`)
    await configurations.deploy(device, modulesOf([Configuration.parse({ id: 'applied', content })]))
    return { status: 204 }
  }

  async #configurations(request: RestRequest, id: string | undefined): Promise<RestResponse> {
    const { configurations, nowMs } = this.#options
    if (id === undefined) {
      if (request.method !== 'GET') throw new HubError('MethodNotAllowed', request.method)
      const top = Math.min(Number(request.url.searchParams.get('top') ?? 20) || 20, 100)
      return { status: 200, body: configurations.list().slice(0, top) }
    }
    if (id === 'testQueries' && request.method === 'POST') {
      const { targetCondition, customMetricQueries } = jsonBody(
        request,
        z.looseObject({ targetCondition: z.string().default(''), customMetricQueries: z.record(z.string(), z.string()).default({}) }),
      )
      const messageOf = (test: () => void) => {
        try {
          test()
          return ''
        } catch (error) {
          return (error as Error).message
        }
      }
      return {
        status: 200,
        body: {
          targetConditionError: messageOf(() => configurations.test(targetCondition, {})),
          customMetricQueryErrors: Object.fromEntries(
            Object.entries(customMetricQueries).map(([name, query]) => [name, messageOf(() => configurations.test('', { [name]: query }))]),
          ),
        },
      }
    }
    const answer = (configuration: Configuration): RestResponse => ({
      status: 200,
      body: configuration,
      headers: { etag: `"${configuration.etag}"` },
    })
    switch (request.method) {
      case 'GET':
        return answer(configurations.get(id))
      case 'PUT': {
        const body = jsonBody(request, Configuration)
        if (body.id !== id) throw new HubError('ArgumentInvalid', 'the id of the body is not that of the address')
        const ifMatch = headerOf(request, 'if-match')
        if (configurations.has(id)) {
          if (ifMatch === undefined) throw new HubError('ConfigurationAlreadyExists', `there is a configuration '${id}' already`)
          requireEtag(request, configurations.get(id).etag)
        } else if (ifMatch !== undefined) {
          configurations.get(id)
        }
        return answer(await configurations.put(body, nowMs()))
      }
      case 'DELETE':
        requireEtag(request, configurations.get(id).etag)
        await configurations.delete(id)
        return { status: 204 }
      default:
        throw new HubError('MethodNotAllowed', request.method)
    }
  }

  async #jobs(
    request: RestRequest,
    [first, second, third]: readonly string[],
    may: (operation: ThrottledOperation, ...oneOf: readonly Right[]) => Promise<void>,
  ): Promise<RestResponse> {
    const { jobs } = this.#options
    await may(first === 'v2' ? 'query' : 'registry', request.method === 'GET' ? 'registryRead' : 'registryWrite', 'service')
    if (first === 'v2') {
      if (second === 'query' && request.method === 'GET') {
        const filter = (name: string) => request.url.searchParams.get(name) ?? undefined
        const { rows, headers } = page(request, jobs.list({ type: filter('jobType'), status: filter('jobStatus') }))
        return { status: 200, body: rows, headers: { ...headers, 'x-ms-item-type': 'jobResponse' } }
      }
      if (second === undefined) return unknown(request)
      if (third === 'cancel' && request.method === 'POST') return { status: 200, body: await jobs.cancel(second) }
      if (request.method === 'PUT') return { status: 200, body: await jobs.create(second, jsonBody(request, z.unknown())) }
      if (request.method === 'GET') return { status: 200, body: jobs.get(second) }
      return unknown(request)
    }
    if (first === 'create' && request.method === 'POST')
      return { status: 200, body: await jobs.createTransfer(jsonBody(request, z.unknown())) }
    if (first === undefined) return { status: 200, body: [...jobs.list({ type: 'export' }), ...jobs.list({ type: 'import' })] }
    if (request.method === 'GET') return { status: 200, body: jobs.get(first) }
    if (request.method === 'DELETE') {
      await jobs.cancel(first)
      return { status: 204 }
    }
    return unknown(request)
  }

  /** Feedback over HTTPS, for clients without AMQP. */
  async #feedback(request: RestRequest): Promise<RestResponse> {
    const [, kind = '', area = '', token, action] = request.path
    if (kind.toLowerCase() !== 'servicebound' || area.toLowerCase() !== 'feedback') return unknown(request)
    if (token === undefined && request.method === 'GET') {
      const group = this.#options.feedback.take()
      if (!group) return { status: 204 }
      const lock = crypto.randomUUID()
      this.#feedbackLocks.set(lock, group)
      setTimeout(() => this.#feedbackLocks.delete(lock) && group.abandon(), 60_000).unref()
      return {
        status: 200,
        body: group.records,
        headers: { etag: `"${lock}"`, 'content-type': 'application/vnd.microsoft.iothub.feedback.json' },
      }
    }
    const lock = (token ?? '').replaceAll('"', '')
    const group = this.#feedbackLocks.get(lock)
    if (!group) throw new HubError('DeviceMessageLockLost', 'the lock is not held (any more)')
    this.#feedbackLocks.delete(lock)
    if (action === 'abandon') group.abandon()
    else await group.complete()
    return { status: 204 }
  }

  /** What an edge hub asks for to authenticate the devices behind it: the identities of its scope, with keys. */
  #scopeOf(request: RestRequest, deviceId: string, moduleId: string): RestResponse {
    const { hub, authorisation, identities } = this.#options
    if (moduleId !== '$edgeHub' || !authorisation.isDevice(request, deviceId, moduleId))
      throw new HubError('IotHubUnauthorized', 'only an edge hub may ask for its scope')
    const scope = hub.registry.get(deviceId)?.deviceScope
    const devices = [...hub.registry.devices()].filter(
      (device) =>
        device.deviceId === deviceId || (scope !== undefined && (device.deviceScope === scope || device.parentScopes.includes(scope))),
    )
    return {
      status: 200,
      body: {
        devices: devices.map((device) => identities.view(device)),
        modules: devices.flatMap((device) => [...hub.registry.modules(device.deviceId)].map((module) => identities.view(module))),
        continuationLink: '',
      },
    }
  }

  #statistics(kind: string): RestResponse {
    const { hub } = this.#options
    if (kind === 'service') return { status: 200, body: { connectedDeviceCount: hub.connectedCount } }
    let [total, enabled] = [0, 0]
    for (const { status } of hub.registry.devices()) {
      total++
      if (status === 'enabled') enabled++
    }
    return { status: 200, body: { totalDeviceCount: total, enabledDeviceCount: enabled, disabledDeviceCount: total - enabled } }
  }
}

function apply(deviceContent: Record<string, unknown>): Configuration {
  return Configuration.parse({ id: 'applied', content: { modulesContent: { device: deviceContent } } })
}

function unknown(request: RestRequest): never {
  throw new HubError('ResourceNotFound', `${request.method} ${request.url.pathname} is not known`)
}

function asHubError(error: unknown): HubError | undefined {
  if (error instanceof HubError) return error
  if (error instanceof z.ZodError) return new HubError('ArgumentInvalid', z.prettifyError(error))
  if (error instanceof QuerySyntaxError) return new HubError('InvalidQuery', error.message)
  return undefined
}
