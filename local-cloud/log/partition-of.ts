/** All messages of one key go to one partition, so that their order is kept. */
export function partitionOf(key: string, partitions: number): number {
  // FNV-1a: spreads short similar names evenly.
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % partitions
}
