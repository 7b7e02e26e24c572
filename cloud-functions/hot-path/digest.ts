/**
 * A quantile sketch that can be merged: a merging t-digest (Dunning, 2019) of a few centroids, finer towards both ends.
 * Values are kept as they are until there are more of them than centroids.
 */
export type Digest = { readonly means: number[]; readonly counts: number[] }

export const centroidsMax = 24

export function emptyDigest(): Digest {
  return { means: [], counts: [] }
}

/** A digest of values, each counted once. */
export function digestOf(values: readonly number[]): Digest {
  return compressed([...values].sort((a, b) => a - b).map((mean) => ({ mean, count: 1 })))
}

export function mergeDigests(digests: readonly Digest[]): Digest {
  const centroids = digests.flatMap(({ means, counts }) => means.map((mean, index) => ({ mean, count: counts[index]! })))
  return compressed(centroids.sort((a, b) => a.mean - b.mean))
}

function compressed(centroids: readonly { mean: number; count: number }[]): Digest {
  const digest = emptyDigest()
  if (centroids.length <= centroidsMax) {
    for (const { mean, count } of centroids) push(digest, mean, count)
    return digest
  }
  const total = centroids.reduce((sum, { count }) => sum + count, 0)
  let before = 0
  let mean = centroids[0]!.mean
  let count = centroids[0]!.count
  for (const next of centroids.slice(1)) {
    if (scale((before + count + next.count) / total) - scale(before / total) <= 1) {
      count += next.count
      mean += ((next.mean - mean) * next.count) / count
      continue
    }
    push(digest, mean, count)
    before += count
    mean = next.mean
    count = next.count
  }
  push(digest, mean, count)
  return digest
}

/** The scale function k1: a centroid spans one unit of it at most, so those at the ends are small. */
function scale(quantile: number): number {
  return (centroidsMax / (2 * Math.PI)) * Math.asin(2 * Math.min(1, Math.max(0, quantile)) - 1)
}

function push(digest: Digest, mean: number, count: number): void {
  // As it is stored: what was restored goes on as what was not.
  digest.means.push(Math.fround(mean) + 0)
  digest.counts.push(count)
}

/** The value below which a share of all lies, between the centroids by a straight line; undefined of nothing. */
export function quantile({ means, counts }: Digest, share: number): number | undefined {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return undefined
  const wanted = share * total
  let before = 0
  for (let i = 0; i < means.length; i++) {
    const middle = before + counts[i]! / 2
    if (wanted <= middle) {
      if (i === 0) return means[0]
      const previousMiddle = before - counts[i - 1]! / 2
      return means[i - 1]! + ((means[i]! - means[i - 1]!) * (wanted - previousMiddle)) / (middle - previousMiddle)
    }
    before += counts[i]!
  }
  return means.at(-1)
}
