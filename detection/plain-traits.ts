/** A series of which nothing is known but its values. */
import { standardConfiguration } from './configuration.ts'
import type { SeriesTraits } from './judgement.ts'

export const plainTraits: SeriesTraits = {
  resolution: 0,
  isJumpy: false,
  isModal: false,
  hasModes: false,
  isThinned: false,
  ratePerSMax: undefined,
  limits: [],
  configuration: standardConfiguration,
}
