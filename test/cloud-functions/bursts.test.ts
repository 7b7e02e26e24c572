import { expect, test } from 'vitest'
import { Bursts } from '../../cloud-functions/live/bursts.ts'

function bursts(atOnceMax = 100) {
  const sent: number[][] = []
  const timers: { call: () => void; ms: number }[] = []
  const gathered = new Bursts<number>({
    send: (things) => void sent.push([...things]),
    everyMs: 100,
    atOnceMax,
    later: (call, ms) => void timers.push({ call, ms }),
  })
  return { gathered, sent, timers, pass: () => timers.shift()!.call() }
}

test('one by itself is told at once, what follows within the moment together', () => {
  const { gathered, sent, timers, pass } = bursts()
  gathered.add(1)
  expect(sent).toEqual([[1]])
  gathered.add(2)
  gathered.add(3)
  expect(sent).toEqual([[1]])
  expect(timers.map(({ ms }) => ms)).toEqual([100])
  pass()
  expect(sent).toEqual([[1], [2, 3]])
})

test('after a quiet moment nothing is waited for', () => {
  const { gathered, sent, timers, pass } = bursts()
  gathered.add(1)
  pass()
  expect(timers).toEqual([])
  gathered.add(2)
  expect(sent).toEqual([[1], [2]])
})

test('a message holds no more than fits, and nothing is lost or moved', () => {
  const { gathered, sent, pass } = bursts(3)
  for (let thing = 0; thing < 8; thing++) gathered.add(thing)
  pass()
  expect(sent).toEqual([[0], [1, 2, 3], [4, 5, 6], [7]])
})
