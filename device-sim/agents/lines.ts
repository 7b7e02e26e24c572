import { createReadStream } from 'node:fs'

/** The lines of a text file, as a stream. What cannot be read is thrown where it is read; `readline` would leave it to nobody. */
export async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of createReadStream(file, 'utf8')) {
    const lines = (rest + String(chunk)).split(/\r?\n/)
    rest = lines.pop()!
    yield* lines
  }
  if (rest !== '') yield rest
}
