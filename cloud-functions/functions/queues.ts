import { z } from 'zod'

/** Alerts whose history grew. */
export const alertQueue = 'alert-transitions'
export const AlertHint = z.object({ alertId: z.string().regex(/^[0-9a-f]{16}$/) })
