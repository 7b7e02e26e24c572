/** Keeps configurations, and the twins of the devices they target in step with them. */
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { DocumentStore } from '../log/document-store.ts'
import { lookUp, parseCondition } from '../query/expression.ts'
import { parseQuery } from '../query/select.ts'
import { combined, Configuration, effectiveDeployments, modulesOf } from './configurations.ts'
import { HubError } from './hub-errors.ts'
import type { IotHub } from './iot-hub.ts'
import type { JsonObject } from './json-merge-patch.ts'
import { newEtag } from './registry.ts'
import type { StoredIdentity } from './registry.ts'
import type { Twins } from './rest/twins.ts'

type Log = (event: string, fields: Record<string, unknown>) => void

const configurationsMax = 100

/** Changes of twins come in bursts; one look at all of them is enough. */
const settleMs = 50

export class ConfigurationService {
  readonly #store: DocumentStore<Configuration>
  readonly #hub: IotHub
  readonly #twins: Twins
  readonly #log: Log
  #timer: NodeJS.Timeout | undefined
  #applying: Promise<void> = Promise.resolve()

  private constructor(store: DocumentStore<Configuration>, hub: IotHub, twins: Twins, log: Log) {
    this.#store = store
    this.#hub = hub
    this.#twins = twins
    this.#log = log
  }

  static async open(directory: string, { hub, twins, log }: { hub: IotHub; twins: Twins; log: Log }): Promise<ConfigurationService> {
    const store = await DocumentStore.open(join(directory, 'configurations.ndjson'), (value) => Configuration.parse(value))
    return new ConfigurationService(store, hub, twins, log)
  }

  get(id: string): Configuration {
    const configuration = this.#store.get(id)
    if (!configuration) throw new HubError('ConfigurationNotFound', `there is no configuration '${id}'`)
    return this.#withMetrics(configuration)
  }

  has(id: string): boolean {
    return this.#store.get(id) !== undefined
  }

  list(): Configuration[] {
    return [...this.#store.entries()].map(([, configuration]) => this.#withMetrics(configuration))
  }

  /** @throws HubError when the condition cannot be read */
  async put(configuration: Configuration, nowMs: number): Promise<Configuration> {
    this.test(configuration.targetCondition, configuration.metrics?.queries ?? {})
    const existing = this.#store.get(configuration.id)
    if (!existing && this.#store.size >= configurationsMax)
      throw new HubError('IotHubQuotaExceeded', `a hub has at most ${configurationsMax} configurations`)
    const time = new Date(nowMs).toISOString()
    const stored = { ...configuration, createdTimeUtc: existing?.createdTimeUtc ?? time, lastUpdatedTimeUtc: time, etag: newEtag() }
    await this.#store.set(configuration.id, stored)
    this.changed()
    return this.#withMetrics(stored)
  }

  async delete(id: string): Promise<void> {
    await this.#store.delete(id)
    this.changed()
  }

  /** @throws HubError on a condition or query that cannot be read */
  test(targetCondition: string, queries: Readonly<Record<string, string>>): void {
    if (targetCondition !== '' && targetCondition !== '*') targetOf(targetCondition)
    for (const query of Object.values(queries)) parseQuery(query)
  }

  /** Somebody changed a twin, an identity or a configuration. */
  changed(): void {
    if (this.#store.size === 0 && ![...this.#hub.registry.devices()].some(({ configurations }) => Object.keys(configurations).length > 0))
      return
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#applying = this.#applying
        .then(() => this.#apply())
        .catch((error: unknown) => this.#log('configuration-failed', { error: String(error) }))
    }, settleMs)
  }

  async #apply(): Promise<void> {
    const configurations = [...this.#store.entries()].map(([, one]) => one)
    const targets = configurations.map((configuration) => ({ configuration, isTarget: targetOf(configuration.targetCondition) }))
    for (const device of [...this.#hub.registry.devices()]) {
      const matching = targets
        .filter(({ isTarget }) => !isTarget.ofModules && isTarget.matches(this.#twins.view(device)))
        .map(({ configuration }) => configuration)
      const settings = matching.filter(({ content }) => content.deviceContent)
      const deployments = device.isEdge ? effectiveDeployments(matching.filter(({ content }) => content.modulesContent)) : []
      await this.#bring(device, combined(settings.map(({ priority, content }) => ({ priority, content: content.deviceContent ?? {} }))), {
        replace: false,
      })
      if (deployments.length > 0) await this.deploy(device, modulesOf(deployments))
      await this.#note(device, [...settings, ...deployments])
    }
    for (const module of [...this.#hub.registry.allModules()]) {
      const matching = targets
        .filter(({ isTarget }) => isTarget.ofModules && isTarget.matches(this.#twins.view(module)))
        .map(({ configuration }) => configuration)
      await this.#bring(module, combined(matching.map(({ priority, content }) => ({ priority, content: content.moduleContent ?? {} }))), {
        replace: false,
      })
      await this.#note(module, matching)
    }
  }

  /** An edge deployment to one device: modules are created, their desired properties set. */
  async deploy(device: StoredIdentity, modules: ReadonlyMap<string, JsonObject>): Promise<void> {
    const { registry } = this.#hub
    const agent = modules.get('$edgeAgent')
    const named = lookUp(agent, ['modules'])
    const wanted = new Set([...modules.keys(), ...(named && typeof named === 'object' ? Object.keys(named) : [])])
    for (const moduleId of wanted)
      if (!registry.get(device.deviceId, moduleId)) await registry.put(device.deviceId, moduleId, { managedBy: 'IotEdge' })
    for (const [moduleId, desired] of modules) {
      const module = registry.get(device.deviceId, moduleId)
      if (module) await this.#bring(module, desired, { replace: true })
    }
  }

  /** Changes a twin only where it differs: a version that rises for nothing would wake the device for nothing. */
  async #bring(identity: StoredIdentity, desired: JsonObject, { replace }: { replace: boolean }): Promise<void> {
    const { values } = identity.twin.desired
    const isThere = replace ? isDeepStrictEqual(values, desired) : contains(values, desired)
    if (!isThere) await this.#hub.patchTwin(identity, { desired }, { replace })
  }

  async #note(identity: StoredIdentity, applied: readonly Configuration[]): Promise<void> {
    const configurations = Object.fromEntries(applied.map(({ id }) => [id, { status: 'Applied' }]))
    const current = this.#hub.registry.get(identity.deviceId, identity.moduleId)
    if (current && !isDeepStrictEqual(current.configurations, configurations))
      await this.#hub.registry.setConfigurations(current, configurations)
  }

  #withMetrics(configuration: Configuration): Configuration {
    const { matches, ofModules } = targetOf(configuration.targetCondition)
    const documents = [...this.#twins.documents(ofModules ? 'modules' : 'devices')]
    const appliedCount = documents.filter(({ configurations }) => configurations[configuration.id]).length
    const results: Record<string, number> = {}
    for (const [name, query] of Object.entries(configuration.metrics?.queries ?? {})) {
      const parsed = parseQuery(query)
      results[name] = parsed.run(this.#twins.documents(parsed.from.startsWith('devices.modules') ? 'modules' : 'devices')).length
    }
    return {
      ...configuration,
      metrics: { queries: configuration.metrics?.queries ?? {}, results },
      systemMetrics: { queries: {}, results: { targetedCount: documents.filter(matches).length, appliedCount } },
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#applying
    await this.#store.close()
  }
}

function contains(values: unknown, patch: unknown): boolean {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return isDeepStrictEqual(values, patch)
  return Object.entries(patch).every(([name, value]) => contains(lookUp(values, [name]), value))
}

/** A condition on devices, or, as `FROM devices.modules WHERE …`, on modules. */
function targetOf(text: string): { readonly ofModules: boolean; matches(document: object): boolean } {
  const modules = /^\s*FROM\s+devices\.modules\s+WHERE\s+(.*)$/is.exec(text)
  const condition = (modules?.[1] ?? text).trim()
  if (condition === '') return { ofModules: modules !== null, matches: () => false }
  if (condition === '*') return { ofModules: modules !== null, matches: () => true }
  const holds = parseCondition(condition, 'document')
  return { ofModules: modules !== null, matches: (document) => holds((path) => lookUp(document, path)) }
}
