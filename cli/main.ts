/** The `millwright` command line. Exit codes: 0 fine, 1 failed, 2 wrong use. */
import 'zod/compile'
import { MalformedConnectionStringError } from '../contract/connection.ts'
import { errorText } from '../contract/error-text.ts'
import { UsageError } from './command.ts'
import type { Command } from './command.ts'

/** Loaded when asked for: what one command needs should not cost the start of another. */
const commands: Record<string, () => Promise<Command>> = {
  start: async () => (await import('./commands/start.ts')).start,
  cloud: async () => (await import('./commands/cloud.ts')).cloud,
  simulate: async () => (await import('./commands/simulate.ts')).simulate,
  agent: async () => (await import('./commands/agent.ts')).agent,
  edge: async () => (await import('./commands/edge.ts')).edge,
  functions: async () => (await import('./commands/functions.ts')).functions,
  replay: async () => (await import('./commands/replay.ts')).replay,
  detect: async () => (await import('./commands/detect.ts')).detect,
  backtest: async () => (await import('./commands/backtest.ts')).backtest,
  rebuild: async () => (await import('./commands/rebuild.ts')).rebuild,
  'sign-in': async () => (await import('./commands/sign-in.ts')).signIn,
  doctor: async () => (await import('./commands/doctor.ts')).doctor,
}

const stopMsMax = 10_000
/** A part whose supervisor waits has less: it is ended after this. */
const childStopMsMax = 4_000

async function usage(): Promise<string> {
  const lines = await Promise.all(Object.entries(commands).map(async ([name, load]) => `  ${name.padEnd(10)} ${(await load()).summary}`))
  return `usage: millwright <command> [options]\n\n${lines.join('\n')}\n\n\`millwright <command> --help\` says more.\n`
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(await usage())
    return name === undefined ? 2 : 0
  }
  if (name === '--version') {
    process.stdout.write(`${__MILLWRIGHT_VERSION__}\n`)
    return 0
  }
  const command = Object.hasOwn(commands, name) ? await commands[name]!() : undefined
  if (!command) {
    process.stderr.write(`millwright: there is no command '${name}'\n\n${await usage()}`)
    return 2
  }
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(command.help)
    return 0
  }
  const stopping = new AbortController()
  // Asked now: once the supervisor is gone, there is no channel to tell that there was one.
  const patienceMs = process.channel ? childStopMsMax : stopMsMax
  // Whatever hangs while it is closed must not keep a data folder or a port.
  stopping.signal.addEventListener('abort', () => setTimeout(() => process.exit(1), patienceMs).unref())
  for (const event of ['SIGINT', 'SIGTERM']) process.on(event, () => stopping.abort())
  let hasReaderLeft = false
  process.stdout.on('error', (error) => {
    if (!isClosedPipe(error)) throw error
    hasReaderLeft = true
    stopping.abort()
  })
  // Started by another command: when that is gone, even by kill -9, so is the reason to run.
  if (process.channel) process.on('disconnect', () => stopping.abort())
  try {
    const code = await command.run(rest, stopping.signal)
    return hasReaderLeft ? 0 : code
  } catch (error) {
    if (isClosedPipe(error)) return 0
    if (error instanceof UsageError || error instanceof MalformedConnectionStringError) {
      process.stderr.write(`millwright ${name}: ${error.message}\n\n${command.help}`)
      return 2
    }
    process.stderr.write(`millwright ${name}: ${errorText(error)}\n`)
    if (process.env.MILLWRIGHT_DEBUG) process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`)
    return 1
  }
}

/** Whoever read the output has seen enough, as `head` does. */
function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE'
}

/** Exits when everything that was written has left: what waits for a slow reader of a pipe would be lost. */
async function exit(code: number): Promise<never> {
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((written) => stream.write('', written))))
  process.exit(code)
}

main(process.argv.slice(2)).then(exit, (error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  return exit(1)
})
