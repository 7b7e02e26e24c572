/** CRC-32 (ISO 3309, reflected polynomial 0xEDB88320), the checksum at the end of a packed batch; eight bytes a step. */
const steps = 8
/** One table after another: what a byte becomes so many bytes later. Signed, so that all of it stays in 32-bit integers. */
const tables = new Int32Array(256 * steps)
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  tables[byte] = crc
}
for (let at = 256; at < tables.length; at++) {
  const before = tables[at - 256]!
  tables[at] = (before >>> 8) ^ tables[before & 0xff]!
}

export function crc32(bytes: Uint8Array, end = bytes.length): number {
  let crc = -1
  let i = 0
  for (const whole = end - steps + 1; i < whole; i += steps) {
    crc =
      tables[0x700 + ((crc ^ bytes[i]!) & 0xff)]! ^
      tables[0x600 + (((crc >>> 8) ^ bytes[i + 1]!) & 0xff)]! ^
      tables[0x500 + (((crc >>> 16) ^ bytes[i + 2]!) & 0xff)]! ^
      tables[0x400 + ((crc >>> 24) ^ bytes[i + 3]!)]! ^
      tables[0x300 + bytes[i + 4]!]! ^
      tables[0x200 + bytes[i + 5]!]! ^
      tables[0x100 + bytes[i + 6]!]! ^
      tables[bytes[i + 7]!]!
  }
  for (; i < end; i++) crc = tables[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}
