/** CRC-32 (ISO 3309, reflected polynomial 0xEDB88320), the checksum at the end of a packed batch; four bytes a step. */
const tables = Array.from({ length: 4 }, () => new Uint32Array(256))
const [table0, table1, table2, table3] = tables as [Uint32Array, Uint32Array, Uint32Array, Uint32Array]
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  table0[byte] = crc
}
for (let byte = 0; byte < 256; byte++)
  for (let step = 1; step < 4; step++) {
    const before = tables[step - 1]![byte]!
    tables[step]![byte] = (before >>> 8) ^ table0[before & 0xff]!
  }

export function crc32(bytes: Uint8Array, end = bytes.length): number {
  let crc = 0xffffffff
  let i = 0
  for (const whole = end - 3; i < whole; i += 4) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    crc = table3[crc & 0xff]! ^ table2[(crc >>> 8) & 0xff]! ^ table1[(crc >>> 16) & 0xff]! ^ table0[crc >>> 24]!
  }
  for (; i < end; i++) crc = table0[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}
