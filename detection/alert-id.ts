/** One alert per episode: the same first reading gives the same id, however often the log is replayed. */
export function alertIdOf(deviceId: string, signal: string, bootId: string, firstSeq: number): string {
  // FNV-1a, 64 bits: names, not secrets. Episodes are few, so BigInt costs nothing here.
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(JSON.stringify([deviceId, signal, bootId, firstSeq]))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  }
  return hash.toString(16).padStart(16, '0')
}
