/** The app's entry: each import registers its functions. `zod/compile` comes first, so that it sees every schema built. */
import 'zod/compile'
import './functions/ingest-telemetry.ts'
import './functions/project-alerts.ts'
import './functions/sweep-alerts.ts'
import './functions/api-devices.ts'
import './functions/api-alerts.ts'
import './functions/exports.ts'
import './functions/keep-store.ts'
