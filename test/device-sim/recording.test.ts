import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { MalformedRecordingError, parseTime, readRecording, RecordingWriter } from '../../device-sim/agents/recording.ts'
import type { RecordedSample } from '../../device-sim/agents/recording.ts'

const folder = mkdtempSync(join(tmpdir(), 'recording '))
afterAll(() => rmSync(folder, { recursive: true }))

async function samplesOf(file: string): Promise<RecordedSample[]> {
  const samples: RecordedSample[] = []
  for await (const sample of readRecording(file)) samples.push(sample)
  return samples
}

const iso = (text: string) => {
  const timeMs = parseTime(text)
  return timeMs === undefined ? undefined : new Date(timeMs).toISOString()
}

test.each([
  ['2014-02-14 14:30:00', '2014-02-14T14:30:00.000Z'],
  ['2014-02-14T14:30:00.123456Z', '2014-02-14T14:30:00.123Z'],
  ['2014-02-14T14:30:00.5', '2014-02-14T14:30:00.500Z'],
  ['2014-02-14T14:30:00+0200', '2014-02-14T12:30:00.000Z'],
  ['2014-02-14 14:30:00+00', '2014-02-14T14:30:00.000Z'],
  ['2014-02-14 14:30:00 -05:30', '2014-02-14T20:00:00.000Z'],
  ['2014-02-14 14:30:00 UTC', '2014-02-14T14:30:00.000Z'],
  ['2014/2/4 9:05', '2014-02-04T09:05:00.000Z'],
  ['2014-02-14', '2014-02-14T00:00:00.000Z'],
  ['1392388200', '2014-02-14T14:30:00.000Z'],
  ['1392388200.25', '2014-02-14T14:30:00.250Z'],
  ['1.3923882e+09', '2014-02-14T14:30:00.000Z'],
  ['1392388200123', '2014-02-14T14:30:00.123Z'],
  ['1392388200123456', '2014-02-14T14:30:00.123Z'],
  ['1392388200123456789', '2014-02-14T14:30:00.123Z'],
])('the time %s of a recording is %s', (text, expected) => {
  expect(iso(text)).toBe(expected)
})

test.each(['', 'soon', '-5', '14.02.2014 10:00', '3/4/2014 10:00', '2014-13-01', '2014-02-32', '2014-02-14 25:00', '2014-02-14 10:00 CET'])(
  "'%s' is no time: nobody guesses",
  (text) => {
    expect(parseTime(text)).toBeUndefined()
  },
)

describe.each(['csv', 'ndjson'])('a recording as %s', (form) => {
  test('is read as it was written', async () => {
    const file = join(folder, `run.${form}`)
    const problems: Error[] = []
    const writer = await RecordingWriter.open(file, ['flow', 'heat'], (error) => problems.push(error))
    const samples = Array.from({ length: 5_000 }, (_, index) => ({
      timeMs: 1_700_000_000_000 + index,
      values: { flow: index / 8, heat: 1 - index },
    }))
    for (const sample of samples) writer.write('pump, "first"', 'dtmi:a:b;1', sample)
    await writer.close()
    expect(await samplesOf(file)).toEqual(samples.map((sample) => ({ ...sample, deviceId: 'pump, "first"', modelId: 'dtmi:a:b;1' })))
    expect(problems).toEqual([])
  })

  test.each([
    ['commas', 'time,temperature,"flow, m3/h"\n1700000000,20.5,1\n'],
    ['semicolons', 'time;temperature;"flow, m3/h"\r\n1700000000;20.5;1\r\n'],
    ['semicolons and decimal commas', '\ufefftime;temperature;flow, m3/h\n1700000000;20,5;1,0\n'],
    ['tabs', 'time\ttemperature\tflow, m3/h\n1700000000\t20.5\t1\n'],
  ])('is read with %s between its columns', async (_, text) => {
    const file = join(folder, 'delimited.csv')
    writeFileSync(file, text)
    expect(await samplesOf(file)).toMatchObject([{ timeMs: 1_700_000_000_000, values: { temperature: 20.5, 'flow, m3/h': 1 } }])
  })

  test('that holds no readings is none', async () => {
    const file = join(folder, `none.${form}`)
    for (const text of ['', form === 'csv' ? 'time,flow\n2026-01-01,\n' : '{"time":"2026-01-01","values":{"flow":1}}\n']) {
      writeFileSync(file, text)
      await expect(samplesOf(file)).rejects.toThrow(MalformedRecordingError)
    }
  })

  test('that cannot be read, or begun, fails where it is asked for', async () => {
    const name = join(folder, `folder.${form}`)
    mkdirSync(name)
    await expect(samplesOf(name)).rejects.toThrow('EISDIR')
    await expect(RecordingWriter.open(name, [], () => {})).rejects.toThrow('EISDIR')
  })
})

test.skipIf(!existsSync('/dev/full'))('a disk that is full ends a recording, and not the run', async () => {
  const problems: string[] = []
  const writer = await RecordingWriter.open('/dev/full', ['flow'], ({ message }) => problems.push(message))
  for (let index = 0; index < 10_000; index++) writer.write('pump', '', { timeMs: index, values: { flow: index } })
  await writer.close()
  writer.write('pump', '', { timeMs: 1, values: {} })
  await writer.close()
  expect(problems).toEqual([expect.stringMatching(/'\/dev\/full' ends here: .*ENOSPC/)])
})
