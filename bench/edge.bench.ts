import { measureWire } from './edge/wire.ts'
import { printHeader } from './measure.ts'

printHeader('Wire: packed, all fields, lossless')
measureWire()
