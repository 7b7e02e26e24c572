/**
 * Bytes in a table row: a property holds at most 64 KiB, so longer ones are spread over several; what a row could not hold
 * is deflated. As buffers: of any other view of a part, @azure/data-tables 13.3 would send all the memory that lies behind it.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'

const propertyBytesMax = 60_000
const partsMax = 12
/** Azure takes 1 MiB an entity, and Azurite as much of base64; the rest is left to the other properties. */
const rowBytesMax = partsMax * propertyBytesMax
/** What a row may become when it is read. */
const inflatedBytesMax = 16 * rowBytesMax

/**
 * @param name of the properties, which a number follows
 * @throws RangeError when they do not fit into a row, deflated either
 */
export function bytesToProperties(bytes: Uint8Array, name = 'bytes'): Record<string, Buffer | boolean> {
  const isDeflated = bytes.length > rowBytesMax
  const whole = isDeflated ? deflateRawSync(bytes) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (whole.length > rowBytesMax) throw new RangeError(`${bytes.length} bytes do not fit into a table row of ${rowBytesMax}`)
  const properties: Record<string, Buffer | boolean> = isDeflated ? { [`${name}Deflated`]: true } : {}
  for (let part = 0; part * propertyBytesMax < whole.length; part++) {
    properties[`${name}${part}`] = whole.subarray(part * propertyBytesMax, (part + 1) * propertyBytesMax)
  }
  return properties
}

/** @returns nothing where the row has no bytes under this name */
export function bytesFromProperties(row: Record<string, unknown>, name = 'bytes'): Buffer {
  const parts: Uint8Array[] = []
  for (let part = 0; row[`${name}${part}`] instanceof Uint8Array; part++) parts.push(row[`${name}${part}`] as Uint8Array)
  const whole = Buffer.concat(parts)
  return row[`${name}Deflated`] === true ? inflateRawSync(whole, { maxOutputLength: inflatedBytesMax }) : whole
}

/** All properties that may hold bytes under a name, for a query that wants no others. */
export function bytesPropertiesOf(name: string): string[] {
  return [`${name}Deflated`, ...Array.from({ length: partsMax }, (_, part) => `${name}${part}`)]
}
