/** Entry of the module's bundle: what the image, or the local edge runtime, starts. */
import 'zod/compile'
import { randomUUID } from 'node:crypto'
import { newLog } from './log.ts'
import { startModuleHost } from './module-host.ts'
import { readSettings, WrongSettingsError } from './settings.ts'

const stopMsMax = 1_000

async function main(): Promise<void> {
  const settings = readSettings(process.env)
  const { log, setLevel } = newLog((line) => process.stdout.write(line), Date.now, settings.LOG_LEVEL)
  const host = await startModuleHost({ settings, newBoot: `edge-${randomUUID().slice(0, 8)}`, log, setLogLevel: setLevel })
  let isStopping = false
  const stop = () => {
    if (isStopping) return
    isStopping = true
    // A message under way to a gateway that is gone is made again from the journal: nothing is lost by not waiting.
    setTimeout(() => process.exit(0), stopMsMax).unref()
    void host.stop().finally(() => process.exit(0))
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  // The runtime is gone, even by kill -9: nobody would restart or stop this process again.
  process.on('disconnect', stop)
}

main().catch((error: unknown) => {
  if (error instanceof WrongSettingsError) {
    process.stderr.write(`${error.message}\n`)
    process.exit(2)
  }
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(1)
})
