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
