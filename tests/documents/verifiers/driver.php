<?php
require 'verify.php';

foreach (file('php://stdin', FILE_IGNORE_NEW_LINES) as $line) {
    $fields = explode("\t", $line);
    $check = array_shift($fields) === 'signature' ? 'verify_signature' : 'verify_webhook';
    echo $check(...array_map('base64_decode', $fields)) ? "true\n" : "false\n";
}
