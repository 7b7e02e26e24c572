/** Shapes that signals of machines and buildings have, other than those of our own machine models; and what may befall any of them. */
import type { Random } from '../../device-sim/random.ts'

const dayS = 86_400

/** Values at seconds from the start; undefined where none is sent. Called with rising seconds, each once. */
export type Signal = (second: number) => number | undefined
type Shape = (random: Random, everyS: number) => Signal

const daily = (second: number) => Math.sin((2 * Math.PI * second) / dayS)
const hourOf = (second: number) => (second / 3600) % 24
const rounded = (value: number, step: number) => Math.round(value / step) * step

function poisson(random: Random, mean: number): number {
  let [count, chance] = [0, Math.exp(-mean)]
  for (let left = random.next() - chance; left > 0 && count < 60; left -= chance) chance *= mean / ++count
  return count
}

/** A level that returns to its middle within about `tauS`. */
function wandering(random: Random, everyS: number, tauS: number, deviation: number): () => number {
  let at = 0
  const share = Math.min(1, everyS / tauS)
  return () => (at += -share * at + Math.sqrt(2 * share) * deviation * random.normal())
}

/** Something that is on for `onS()` and off for `offS()`. */
function switching(everyS: number, onS: () => number, offS: () => number): () => boolean {
  let isOn = false
  let leftS = offS()
  return () => {
    leftS -= everyS
    if (leftS <= 0) {
      isOn = !isOn
      leftS = isOn ? onS() : offS()
    }
    return isOn
  }
}

export const shapes: Readonly<Record<string, Shape>> = {
  'daily wave': (random) => (second) => 50 + 10 * daily(second) + 0.5 * random.normal(),
  'fast wave': (random, everyS) => (second) => 20 + 3 * Math.sin((2 * Math.PI * second) / everyS / 37) + 0.2 * random.normal(),
  noise: (random) => () => rounded(5 + 0.3 * random.normal(), 0.01),
  'heavy tails': (random) => () => 10 + random.normal() * (random.next() < 0.02 ? 4 : 0.5),
  'log-normal': (random) => () => 3 * Math.exp(0.5 * random.normal()),
  counts: (random) => () => poisson(random, 4),
  'daily counts': (random) => (second) => poisson(random, Math.max(0.2, 6 + 5 * daily(second))),
  'slow wander': (random, everyS) => {
    const level = wandering(random, everyS, dayS, 4)
    return () => 20 + level() + 0.1 * random.normal()
  },
  'on and off': (random, everyS) => {
    const isOn = switching(
      everyS,
      () => everyS * (60 + 120 * random.next()),
      () => everyS * (60 + 120 * random.next()),
    )
    return () => (isOn() ? 12 : 2) + 0.1 * random.normal()
  },
  shifts: (random) => (second) => (hourOf(second) > 6 && hourOf(second) < 22 ? 40 : 10) + random.normal(),
  'working week': (random) => (second) => {
    const isWork = Math.floor(second / dayS) % 7 < 5 && hourOf(second) > 7 && hourOf(second) < 18
    return (isWork ? 60 : 15) + 5 * daily(second) + random.normal()
  },
  sawtooth: (random) => (second) => (second % 7200) / 72 + 0.3 * random.normal(),
  batches: (random, everyS) => {
    let [inS, lengthS] = [0, 0]
    return () => {
      inS += everyS
      if (inS > lengthS) [inS, lengthS] = [0, 9000 * (1 + random.next())]
      return (inS < 1800 ? 20 + inS / 10 : inS < 6000 ? 200 : Math.max(20, 200 - (inS - 6000) / 15)) + 0.5 * random.normal()
    }
  },
  'whole degrees': (random) => (second) => Math.round(22 + 2 * daily(second) + 0.1 * random.normal()),
  'signal strength': (random, everyS) => {
    const level = wandering(random, everyS, 10 * everyS, 1)
    return () => Math.round(-67 + level() + 2 * random.normal())
  },
  'humidity, saturated': (random, everyS) => {
    const level = wandering(random, everyS, 7200, 7)
    return (second) => Math.min(100, rounded(85 + 15 * daily(second) + level(), 0.1))
  },
  battery: (random) => (second) => rounded(4.1 - (0.02 * second) / dayS + 0.004 * random.normal(), 0.01),
  counter: (random, everyS) => {
    let count = 1000
    return (second) => rounded((count += Math.max(0, everyS * (0.01 + 0.005 * daily(second)) * (1 + 0.3 * random.normal()))), 0.1)
  },
  door: (random, everyS) => {
    let openS = 0
    return (second) => {
      openS -= everyS
      const isDay = hourOf(second) > 7 && hourOf(second) < 19
      if (openS <= 0 && isDay && random.next() < everyS / 1200) openS = 30 + 120 * random.next()
      return openS > 0 ? 1 : 0
    }
  },
  rain: (random, everyS) => {
    const isWet = switching(
      everyS,
      () => 3600 * (1 + 3 * random.next()),
      () => -3 * dayS * Math.log(1 - random.next()),
    )
    return () => (isWet() ? rounded(-2 * Math.log(1 - random.next()), 0.1) : 0)
  },
  'processor load': (random, everyS) => {
    const isBusy = switching(
      everyS,
      () => 20 + 100 * random.next(),
      () => -1800 * Math.log(1 - random.next()),
    )
    return () => Math.min(100, Math.max(0, 8 + 2 * random.normal() + (isBusy() ? 60 + 15 * random.normal() : 0)))
  },
  'hourly job': (random) => (second) => Math.min(100, 10 + 2 * random.normal() + (second % 3600 < 120 ? 70 + 5 * random.normal() : 0)),
  'with gaps': (random, everyS) => {
    const isAway = switching(
      everyS,
      () => 600 + 7200 * random.next(),
      () => -8 * 3600 * Math.log(1 - random.next()),
    )
    return (second) => (isAway() ? undefined : 20 + 5 * daily(second) + 0.3 * random.normal())
  },
}

/** What becomes of a value `index` readings after the onset, in a signal of that spread that last said `last`. */
export type Fault = (
  value: number,
  index: number,
  signal: { readonly spread: number; readonly last: number; readonly random: Random },
) => number

export const faults: Readonly<Record<string, Fault>> = {
  spike: (value, index, { spread }) => (index === 0 ? value + 12 * spread : value),
  'shift up': (value, _, { spread }) => value + 10 * spread,
  'shift down': (value, _, { spread }) => value - 10 * spread,
  drift: (value, index, { spread }) => value + 0.05 * index * spread,
  stuck: (_, __, { last }) => last,
  'noise burst': (value, _, { spread, random }) => value + 8 * spread * random.normal(),
  'wrong unit': (value) => 10 * value,
}
