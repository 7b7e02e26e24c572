import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import iot from 'azure-iot-device'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Intake } from '../../edge-module/intake.ts'

let directory: string
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'intake-'))))
afterEach(() => rmSync(directory, { recursive: true }))

function open(bytesMax: number) {
  const completed: string[] = []
  const taken: number[] = []
  const troubles: string[] = []
  const intake = new Intake({
    directory,
    bytesMax,
    nowMs: () => 5,
    complete: (message) => completed.push(message.getBytes().toString()),
    onTaken: ({ position }) => taken.push(position),
    onTrouble: (reason, error) => troubles.push(error ? reason : `${reason} over`),
  })
  return { intake, completed, taken, troubles }
}

test('acknowledges a message when it is on disk, and not before', async () => {
  const { intake, completed, taken } = open(1e6)
  intake.take(new iot.Message('one'))
  intake.take(new iot.Message('two'))
  expect([taken.length, completed]).toEqual([2, []])
  while (intake.committed < intake.end) await intake.progress()
  expect(completed).toEqual(['one', 'two'])
  expect([...intake.read(0)].map(({ message }) => Buffer.from(message.body).toString())).toEqual(['one', 'two'])
  await intake.close()
})

test('without room takes and acknowledges nothing, says so once, and goes on in order when there is some', async () => {
  const { intake, completed, taken, troubles } = open(2_000)
  const names = Array.from({ length: 40 }, (_, index) => `message-${index}`)
  for (const name of names) {
    intake.take(new iot.Message(name))
    while (!intake.isFull && intake.committed < intake.end) await intake.progress()
  }
  const before = taken.length
  expect(before).toBeLessThan(names.length)
  expect(completed).toEqual(names.slice(0, before))
  expect(troubles).toEqual(['journal-full'])
  // What was handed on makes room, file by file, until all of them are in.
  for (let round = 0; taken.length < names.length && round < names.length; round++) {
    intake.release(intake.committed)
    while (intake.committed < intake.end) await intake.progress()
  }
  expect(completed).toEqual(names)
  expect(troubles.at(-1)).toBe('journal-full over')
  await intake.close()
})
