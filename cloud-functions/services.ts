/** What the functions of one worker share: settings and clients, made when first needed, kept while the worker lives. */
import { readSettings } from './settings.ts'
import type { AppSettings } from './settings.ts'
import { openFiles } from './store/files.ts'
import type { Files } from './store/files.ts'
import { openTables } from './store/tables.ts'
import type { Tables } from './store/tables.ts'

let settings: AppSettings | undefined
let tables: Promise<Tables> | undefined
let files: Promise<Files> | undefined

export function appSettings(): AppSettings {
  // Read late: on a cold start Azure replaces the environment before the first invocation.
  return (settings ??= readSettings(process.env))
}

export function appTables(): Promise<Tables> {
  tables ??= openTables(appSettings().AzureWebJobsStorage).catch((error: unknown) => {
    tables = undefined
    throw error
  })
  return tables
}

export function appFiles(): Promise<Files> {
  files ??= openFiles(appSettings().AzureWebJobsStorage).catch((error: unknown) => {
    files = undefined
    throw error
  })
  return files
}
