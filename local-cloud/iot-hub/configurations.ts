/**
 * Configurations and edge deployments: what devices shall be set to, by a condition on their twins. Of several that touch
 * the same setting the highest priority wins; layered deployments are laid over the base one
 * (iot-hub-automatic-device-management.md, module-deployment-monitoring.md).
 */
import { isJsonObject, mergePatch } from './json-merge-patch.ts'
import type { JsonObject } from './json-merge-patch.ts'
import { z } from 'zod'

const Json = z.record(z.string(), z.unknown())
const Metrics = z.looseObject({
  queries: z.record(z.string(), z.string()).default({}),
  results: z.record(z.string(), z.number()).default({}),
})

export const Configuration = z.looseObject({
  id: z.string().regex(/^[a-z0-9\-:.+%_#*?!(),=@;$']{1,128}$/),
  schemaVersion: z.string().default('1.0'),
  labels: z.record(z.string(), z.string()).nullish(),
  content: z.looseObject({
    deviceContent: Json.nullish(),
    moduleContent: Json.nullish(),
    modulesContent: z.record(z.string(), Json).nullish(),
  }),
  targetCondition: z.string().default(''),
  priority: z.number().int().min(0).default(0),
  metrics: Metrics.nullish(),
  systemMetrics: Metrics.nullish(),
  createdTimeUtc: z.string().default(''),
  lastUpdatedTimeUtc: z.string().default(''),
  etag: z.string().default(''),
})
export type Configuration = z.infer<typeof Configuration>

const desired = 'properties.desired'

/** Settings written as `properties.desired.a.b: value`, or whole under `properties.desired`, as one patch. */
export function desiredOf(content: JsonObject): JsonObject {
  let patch: JsonObject = {}
  for (const [path, value] of Object.entries(content)) {
    if (path === desired) patch = mergePatch(patch, isJsonObject(value) ? value : {})
    else if (path.startsWith(`${desired}.`)) patch = mergePatch(patch, nest(path.slice(desired.length + 1).split('.'), value))
  }
  return patch
}

function nest([first = '', ...rest]: string[], value: unknown): JsonObject {
  return { [first]: rest.length === 0 ? value : nest(rest, value) }
}

/** What configurations make of one device or module: lower priorities first, so that the highest has the last word. */
export function combined(contents: readonly { readonly priority: number; readonly content: JsonObject }[]): JsonObject {
  return [...contents]
    .sort((a, b) => a.priority - b.priority)
    .reduce<JsonObject>((all, { content }) => mergePatch(all, desiredOf(content)), {})
}

/** True when a deployment states all of `$edgeAgent`; a layered one has only paths below it. */
export function isBaseDeployment({ content }: Configuration): boolean {
  const agent = content.modulesContent?.$edgeAgent
  return agent !== undefined && Object.hasOwn(agent, desired)
}

/** The deployments that make up one edge device: the strongest base, and the layers above it. */
export function effectiveDeployments(matching: readonly Configuration[]): Configuration[] {
  const newestFirst = (a: Configuration, b: Configuration) => b.priority - a.priority || b.createdTimeUtc.localeCompare(a.createdTimeUtc)
  const base = matching.filter(isBaseDeployment).sort(newestFirst)[0]
  if (!base) return []
  return [base, ...matching.filter((one) => !isBaseDeployment(one) && one.priority > base.priority)]
}

/** Desired properties by module. */
export function modulesOf(deployments: readonly Configuration[]): Map<string, JsonObject> {
  const names = new Set(deployments.flatMap(({ content }) => Object.keys(content.modulesContent ?? {})))
  return new Map(
    [...names].map((name) => [
      name,
      combined(deployments.map(({ priority, content }) => ({ priority, content: content.modulesContent?.[name] ?? {} }))),
    ]),
  )
}
