/**
 * Twins: tags and two sections of properties, changed by merge patches, with the limits of IoT Hub and a note of when
 * each value last changed (iot-hub-devguide-device-twins.md).
 */
import { z } from 'zod'
import { isJsonObject, mergePatch } from './json-merge-patch.ts'
import type { JsonObject } from './json-merge-patch.ts'

const Json = z.record(z.string(), z.unknown())

/** Desired or reported properties; `metadata` has the tree of the values with `$lastUpdated` at every node. */
const TwinSection = z.object({ values: Json, metadata: Json, version: z.number() })
export type TwinSection = z.infer<typeof TwinSection>

export const Twin = z.object({
  version: z.number(),
  etag: z.string(),
  modelId: z.string(),
  tags: Json,
  desired: TwinSection,
  reported: TwinSection,
})
export type Twin = z.infer<typeof Twin>

/** Bytes as IoT Hub counts them, without `$version` and `$metadata`. */
const limits = { tagsBytes: 8 * 1024, propertiesBytes: 32 * 1024, nameBytes: 1024, textBytes: 4096, depth: 10 } as const
const integerMax = 4_503_599_627_370_495

/** A twin that would break a limit. The sender must change it. */
export class TwinLimitError extends Error {
  override readonly name = 'TwinLimitError'
}

export function newTwin(etag: string): Twin {
  return { version: 1, etag, modelId: '', tags: {}, desired: newSection(), reported: newSection() }
}

function newSection(): TwinSection {
  return { values: {}, metadata: {}, version: 1 }
}

/** @throws TwinLimitError */
export function patchTags(tags: JsonObject, patch: JsonObject, { replace = false } = {}): JsonObject {
  const patched = replace ? mergePatch({}, patch) : mergePatch(tags, patch)
  checkLimits('tags', patched, limits.tagsBytes)
  return patched
}

/** @throws TwinLimitError */
export function patchSection(
  name: 'desired' | 'reported',
  section: TwinSection,
  patch: JsonObject,
  { nowMs, replace = false }: { nowMs: number; replace?: boolean },
): TwinSection {
  const values = replace ? mergePatch({}, patch) : mergePatch(section.values, patch)
  checkLimits(`properties.${name}`, values, limits.propertiesBytes)
  const version = section.version + 1
  const stamp = { $lastUpdated: new Date(nowMs).toISOString(), ...(name === 'desired' ? { $lastUpdatedVersion: version } : {}) }
  return { values, metadata: stampTree(replace ? {} : section.metadata, patch, stamp), version }
}

function stampTree(metadata: JsonObject, patch: JsonObject, stamp: JsonObject): JsonObject {
  const stamped: JsonObject = { ...metadata, ...stamp }
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete stamped[name]
    else stamped[name] = stampTree(isJsonObject(stamped[name]) ? stamped[name] : {}, isJsonObject(value) ? value : {}, stamp)
  }
  return stamped
}

/** What a client sees of a section: values, `$metadata` and `$version`. */
export function sectionView({ values, metadata, version }: TwinSection, options: { metadata: boolean }): JsonObject {
  return { ...values, ...(options.metadata ? { $metadata: metadata } : {}), $version: version }
}

/** A patch without the names that only the service writes. */
export function withoutService(patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(patch).filter(([name]) => name !== '$version' && name !== '$metadata'))
}

function checkLimits(what: string, values: JsonObject, bytesMax: number): void {
  const bytes = sizeOf(what, values, 1)
  if (bytes > bytesMax) throw new TwinLimitError(`'${what}' is limited to ${bytesMax} bytes, it would have ${bytes}`)
}

function sizeOf(path: string, value: unknown, depth: number): number {
  if (depth > limits.depth + 1) throw new TwinLimitError(`'${path}' is nested more than ${limits.depth} deep`)
  if (typeof value === 'string') {
    const bytes = Buffer.byteLength(value)
    if (bytes > limits.textBytes) throw new TwinLimitError(`the text at '${path}' is limited to ${limits.textBytes} bytes`)
    return bytes
  }
  if (typeof value === 'number') {
    if (Number.isInteger(value) && Math.abs(value) > integerMax) throw new TwinLimitError(`the integer at '${path}' is out of range`)
    return 8
  }
  if (typeof value === 'boolean') return 4
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + sizeOf(path, item, depth + 1), 0)
  if (!isJsonObject(value)) return 0
  let bytes = 0
  for (const [name, inner] of Object.entries(value)) {
    // oxlint-disable-next-line no-control-regex -- these are what the service forbids
    if (/[\u0000-\u001f\u007f-\u009f.$ ]/.test(name)) throw new TwinLimitError(`'${path}.${name}' has a character that names must not have`)
    const nameBytes = Buffer.byteLength(name)
    if (nameBytes > limits.nameBytes) throw new TwinLimitError(`a name at '${path}' is longer than ${limits.nameBytes} bytes`)
    bytes += nameBytes + sizeOf(`${path}.${name}`, inner, depth + 1)
  }
  return bytes
}
