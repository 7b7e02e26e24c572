/**
 * Where machines stand: rules by device id, the first that fits counts. Names in the id carry the plant's structure
 * far more often than not, so that a few rules do for thousands of machines.
 */
import { z } from 'zod'

const name = z.string().trim().min(1).max(100)
const Place = z.object({
  /** Device ids; `*` stands for anything. */
  devices: z.array(z.string().min(1).max(128)).min(1).max(1_000),
  site: name,
  line: name.optional(),
  latitude: z.number().min(-90).max(90).optional(),
  longitude: z.number().min(-180).max(180).optional(),
})
export const Topology = z.object({ places: z.array(Place).max(500) })
export type Topology = z.infer<typeof Topology>

export type WhereItStands = {
  /** Both empty when nobody said where. */
  readonly site: string
  readonly line: string
  readonly latitude?: number | undefined
  readonly longitude?: number | undefined
}

const nowhere: WhereItStands = { site: '', line: '' }

export function placeFinder({ places }: Topology): (deviceId: string) => WhereItStands {
  const rules = places.map(({ devices, site, line = '', latitude, longitude }) => ({
    matches: devices.map(matcher),
    place: { site, line, latitude, longitude },
  }))
  const known = new Map<string, WhereItStands>()
  return (deviceId) => {
    let place = known.get(deviceId)
    if (!place) {
      place = rules.find(({ matches }) => matches.some((fits) => fits(deviceId)))?.place ?? nowhere
      known.set(deviceId, place)
    }
    return place
  }
}

/** Pieces in their order, not a regular expression: a pattern cannot take long. */
function matcher(pattern: string): (text: string) => boolean {
  const pieces = pattern.split('*')
  if (pieces.length === 1) return (text) => text === pattern
  const [first = '', last = ''] = [pieces[0], pieces.at(-1)]
  return (text) => {
    if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false
    let at = first.length
    for (const piece of pieces.slice(1, -1)) {
      at = text.indexOf(piece, at)
      if (at < 0) return false
      at += piece.length
    }
    return at <= text.length - last.length
  }
}
