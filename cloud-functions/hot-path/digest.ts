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
  return compressed(new Float64Array(values).sort(), undefined)
}

export function mergeDigests(digests: readonly Digest[]): Digest {
  const centroids = digests.reduce((sum, { means }) => sum + means.length, 0)
  const means = new Float64Array(centroids)
  const counts = new Float64Array(centroids)
  let merged = 0
  for (const digest of digests) {
    // Each is in order: from the end, the larger of both takes the last place that is free.
    let [mine, theirs] = [merged - 1, digest.means.length - 1]
    merged += digest.means.length
    for (let at = merged - 1; theirs >= 0; at--) {
      const isMine = mine >= 0 && means[mine]! > digest.means[theirs]!
      means[at] = isMine ? means[mine]! : digest.means[theirs]!
      counts[at] = isMine ? counts[mine--]! : digest.counts[theirs--]!
    }
  }
  return compressed(means, counts)
}

/** @param means ascending @param counts how many values each stands for; one each when not given */
function compressed(means: Float64Array, counts: Float64Array | undefined): Digest {
  const digest = emptyDigest()
  const countOf = (index: number) => counts?.[index] ?? 1
  if (means.length <= centroidsMax) {
    for (let index = 0; index < means.length; index++) push(digest, means[index]!, countOf(index))
    return digest
  }
  const total = counts?.reduce((sum, count) => sum + count, 0) ?? means.length
  let before = 0
  let upTo = centroidEnd(0) * total
  let mean = means[0]!
  let count = countOf(0)
  for (let index = 1; index < means.length; index++) {
    const nextMean = means[index]!
    const nextCount = countOf(index)
    if (before + count + nextCount <= upTo) {
      count += nextCount
      mean += ((nextMean - mean) * nextCount) / count
      continue
    }
    push(digest, mean, count)
    before += count
    upTo = centroidEnd(before / total) * total
    mean = nextMean
    count = nextCount
  }
  push(digest, mean, count)
  return digest
}

/**
 * Up to which quantile a centroid that begins at one may reach: a unit of the scale function k1, centroids / 2π · asin(2q − 1),
 * so those at the ends are small.
 */
function centroidEnd(quantile: number): number {
  const angle = Math.asin(2 * Math.min(1, quantile) - 1) + (2 * Math.PI) / centroidsMax
  return angle >= Math.PI / 2 ? 1 : (Math.sin(angle) + 1) / 2
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
