// SPDX-License-Identifier: Apache-2.0
'use strict';
const { channel } = require('./lib/channel');
const { ForekeyError, Kind } = require('./lib/errors');

module.exports = { channel, ForekeyError, Kind };
