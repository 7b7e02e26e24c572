/** JSON merge patch (RFC 7386) as twins use it: null removes, objects merge, all else replaces. */
export type JsonObject = { [key: string]: unknown }

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = { ...target }
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete merged[name]
    else if (isJsonObject(value)) merged[name] = mergePatch(isJsonObject(merged[name]) ? merged[name] : {}, value)
    else merged[name] = value
  }
  return merged
}

/** The patch that makes one document of another. */
export function patchBetween(from: JsonObject, to: JsonObject): JsonObject {
  const patch: JsonObject = {}
  for (const name of Object.keys(from)) if (!Object.hasOwn(to, name)) patch[name] = null
  for (const [name, value] of Object.entries(to)) {
    const before = from[name]
    if (isJsonObject(value) && isJsonObject(before)) {
      const inner = patchBetween(before, value)
      if (Object.keys(inner).length > 0) patch[name] = inner
    } else if (JSON.stringify(before) !== JSON.stringify(value)) {
      patch[name] = value
    }
  }
  return patch
}
