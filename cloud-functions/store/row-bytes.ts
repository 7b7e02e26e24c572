/** Bytes in a table row: a property holds at most 64 KiB, so longer ones are spread over several. */
const propertyBytesMax = 60_000
/** Azure takes 1 MiB an entity; the rest is left to the other properties. */
export const rowBytesMax = 15 * propertyBytesMax

export function bytesToProperties(bytes: Uint8Array): Record<string, Uint8Array> {
  if (bytes.length > rowBytesMax) throw new RangeError(`${bytes.length} bytes do not fit into a table row of ${rowBytesMax}`)
  const properties: Record<string, Uint8Array> = {}
  for (let part = 0; part * propertyBytesMax < bytes.length; part++) {
    properties[`bytes${part}`] = bytes.subarray(part * propertyBytesMax, (part + 1) * propertyBytesMax)
  }
  return properties
}

export function bytesFromProperties(row: Record<string, unknown>): Uint8Array {
  const parts: Uint8Array[] = []
  for (let part = 0; row[`bytes${part}`] instanceof Uint8Array; part++) parts.push(row[`bytes${part}`] as Uint8Array)
  return Buffer.concat(parts)
}
