import { z } from 'zod'

/** Alerts whose history grew. */
export const alertQueue = 'alert-transitions'
export const AlertHint = z.object({ alertId: z.string().regex(/^[0-9a-f]{16}$/) })
/** Exports that were asked for, and those that are done: whoever waits for one listens there. */
export const exportQueue = 'exports'
export const finishedExportQueue = 'exports-finished'
export const ExportHint = z.object({ exportId: z.uuid() })
