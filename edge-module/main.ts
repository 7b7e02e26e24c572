/** Entry of the module's bundle: what the image, or the local edge runtime, starts. */
import 'zod/compile'
import { randomUUID } from 'node:crypto'
import { EdgeModule } from './edge-module.ts'
import { readSettings, WrongSettingsError } from './settings.ts'

const log = (event: string, fields: Record<string, unknown>) =>
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), part: 'edge-module', event, ...fields })}\n`)

const stopMsMax = 1_000

async function main(): Promise<void> {
  const module = await EdgeModule.start({ settings: readSettings(process.env), newBoot: `edge-${randomUUID().slice(0, 8)}`, log })
  let isStopping = false
  const stop = () => {
    if (isStopping) return
    isStopping = true
    // A message under way to a gateway that is gone is sent again from the checkpoint: nothing is lost by not waiting.
    setTimeout(() => process.exit(0), stopMsMax).unref()
    void module.stop().finally(() => process.exit(0))
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
  log('failed', { error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  process.exit(1)
})
