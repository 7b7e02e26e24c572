import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A file of the build, seen from the bundled command line in `dist/cli`. */
export function distFile(path: string): string {
  return join(dirname(dirname(fileURLToPath(import.meta.url))), path)
}
