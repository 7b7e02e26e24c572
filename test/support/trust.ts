/** Makes this process trust an authority for every TLS client in it, as NODE_EXTRA_CA_CERTS does for a new process. */
import { createRequire } from 'node:module'
import type { createSecureContext } from 'node:tls'

// The module object itself: TLS looks the function up there, and an import is a copy.
const tls = createRequire(import.meta.url)('node:tls') as { createSecureContext: typeof createSecureContext }

export function trust(ca: string): void {
  const original = tls.createSecureContext
  tls.createSecureContext = (options) => {
    const context = original(options)
    if (!options?.ca) (context.context as { addCACert(pem: string): void }).addCACert(ca)
    return context
  }
}
