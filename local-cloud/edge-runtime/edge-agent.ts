/**
 * edgeAgent: brings the modules that run here in line with those the deployment names, by its words (status, restart
 * policy, order), and reports what became of them (`$edgeAgent`, schema 1.1).
 */
import { z } from 'zod'
import type { JsonObject } from '../iot-hub/json-merge-patch.ts'
import { ModuleProcess } from './module-process.ts'

const ModuleSpec = z.looseObject({
  version: z.string().optional(),
  status: z.enum(['running', 'stopped']).default('running'),
  restartPolicy: z.enum(['never', 'on-failure', 'on-unhealthy', 'always']).default('always'),
  startupOrder: z.number().int().min(0).default(4_294_967_295),
  settings: z.looseObject({ image: z.string() }),
  env: z.record(z.string(), z.object({ value: z.coerce.string() })).default({}),
})
type ModuleSpec = z.infer<typeof ModuleSpec>
const AgentDesired = z.looseObject({
  modules: z.record(z.string(), ModuleSpec).default({}),
  systemModules: z.record(z.string(), z.unknown()).default({}),
})

export type EdgeAgentOptions = {
  /** Which script stands for a module's image, undefined when there is none. */
  readonly scriptOf: (image: string) => string | undefined
  readonly nodeOptions: readonly string[]
  /** What the runtime gives a module; undefined while the module has no identity. */
  readonly environmentOf: (moduleId: string) => NodeJS.ProcessEnv | undefined
  readonly report: (reported: JsonObject) => void
  /** A module has ended and is started again. */
  readonly onModuleRestart: (name: string, why: string) => void
  readonly log: (event: string, fields: Record<string, unknown>) => void
}

type Running = { readonly spec: string; readonly process: ModuleProcess }

export class EdgeAgent {
  readonly #options: EdgeAgentOptions
  readonly #modules = new Map<string, Running>()
  #wanted: Record<string, ModuleSpec> = {}
  #systemModules: JsonObject = {}
  #applied: JsonObject = {}
  /** Modules that stand in the reported properties, and must be taken out when they are gone. */
  #reportedModules: readonly string[] = []

  constructor(options: EdgeAgentOptions) {
    this.#options = options
  }

  /** What an earlier run of this gateway has reported. */
  setReportedBefore(moduleIds: readonly string[]): void {
    this.#reportedModules = moduleIds
  }

  /** @throws ZodError on a deployment that cannot be read; what runs goes on */
  async apply(desired: JsonObject): Promise<void> {
    const parsed = AgentDesired.safeParse(desired)
    const version = desired.$version
    if (!parsed.success) {
      const description = z.prettifyError(parsed.error)
      this.#applied = { lastDesiredVersion: version, lastDesiredStatus: { code: 400, description } }
      this.#report()
      throw parsed.error
    }
    this.#wanted = parsed.data.modules
    this.#systemModules = parsed.data.systemModules
    for (const [name, { spec, process }] of this.#modules) {
      const wanted = this.#wanted[name]
      if (wanted && JSON.stringify(wanted) === spec) continue
      this.#modules.delete(name)
      await process.stop()
    }
    const inOrder = Object.entries(this.#wanted).sort(([, a], [, b]) => a.startupOrder - b.startupOrder)
    for (const [name, spec] of inOrder) if (spec.status === 'running' && !this.#modules.has(name)) this.#start(name, spec)
    this.#applied = { lastDesiredVersion: version, lastDesiredStatus: { code: 200, description: '' } }
    this.#report()
  }

  #start(name: string, spec: ModuleSpec): void {
    const { scriptOf, environmentOf, log } = this.#options
    const script = scriptOf(spec.settings.image)
    const environment = environmentOf(name)
    if (script === undefined || environment === undefined) {
      const reason = script === undefined ? 'nothing on this computer stands for its image' : 'it has no identity'
      return log('module-not-started', { module: name, image: spec.settings.image, reason })
    }
    const variables = Object.fromEntries(Object.entries(spec.env).map(([key, { value }]) => [key, value]))
    const process = new ModuleProcess({
      name,
      script,
      nodeOptions: this.#options.nodeOptions,
      // The runtime's own variables have the last word.
      environment: { ...variables, ...environment },
      restartPolicy: spec.restartPolicy,
      onChange: () => this.#report(),
      onRestart: (why) => this.#options.onModuleRestart(name, why),
      log,
    })
    this.#modules.set(name, { spec: JSON.stringify(spec), process })
  }

  #report(): void {
    const modules = Object.fromEntries(
      Object.entries(this.#wanted).map(([name, { version, status, restartPolicy, settings }]) => {
        const state = this.#modules.get(name)?.process.state
        const runtimeStatus = state?.runtimeStatus ?? (status === 'stopped' ? 'stopped' : 'failed')
        return [
          name,
          {
            type: 'process',
            ...(version === undefined ? {} : { version }),
            status,
            restartPolicy,
            settings: { image: settings.image },
            runtimeStatus,
            exitCode: state?.exitCode ?? 0,
            restartCount: state?.restartCount ?? 0,
            ...(state
              ? { lastStartTimeUtc: new Date(state.startedMs).toISOString() }
              : { statusDescription: 'nothing on this computer stands for its image' }),
            ...(state?.endedMs === undefined ? {} : { lastExitTimeUtc: new Date(state.endedMs).toISOString() }),
          },
        ]
      }),
    )
    const gone = Object.fromEntries(this.#reportedModules.filter((name) => !this.#wanted[name]).map((name) => [name, null]))
    this.#reportedModules = Object.keys(this.#wanted)
    const systemModules = Object.fromEntries(
      Object.keys(this.#systemModules).map((name) => [name, { type: 'process', runtimeStatus: 'running' }]),
    )
    this.#options.report({
      schemaVersion: '1.1',
      ...this.#applied,
      runtime: { type: 'process' },
      systemModules,
      modules: { ...modules, ...gone },
    })
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#modules.values()].map(({ process }) => process.stop()))
  }
}
